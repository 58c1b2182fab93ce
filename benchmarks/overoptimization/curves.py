"""What best-of-n gives by another judge, and the forms that Gao et al. 2022 ("Scaling Laws for Reward Model Overoptimization") fit to it. No torch."""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel


def best_of_n_means(scores: Sequence[float], judged: Sequence[float], sizes: Sequence[int]) -> list[float]:
    """The mean of `judged` over the best of n by `scores`, for each n of `sizes`, over all ways to draw n of the N completions of a prompt.

    The completion with the i-th lowest score is the best one of C(i-1, n-1) of the C(N, n) draws (Nakano et al. 2021, "WebGPT", appendix I).
    Of equal scores the later one in the order of the completions is taken.
    """
    order = np.argsort(np.asarray(scores, dtype=float), kind="stable")
    ranked = np.asarray(judged, dtype=float)[order]
    num = len(ranked)
    means = []
    for n in sizes:
        weights = np.array([math.comb(place, n - 1) / math.comb(num, n) for place in range(num)])
        means.append(float(weights @ ranked))
    return means


class Fit(BaseModel):
    """`gold = d (alpha - beta f(d))`, f the identity (best-of-n) or the natural logarithm (RL), and the share of variance that it explains."""

    alpha: float
    beta: float
    r_squared: float


def fit_form(distances: Sequence[float], gold: Sequence[float], *, is_best_of_n: bool) -> Fit:
    """Least squares for Gao et al.'s form for best-of-n, `d (alpha - beta d)`, or for RL, `d (alpha - beta log d)`.

    `distances`: d, the square root of the KL to where it began, in nats; `gold`: by how much the judge likes it better than there.
    Points at distance 0 say nothing and are left out. nan three times for fewer than three others.
    """
    kept = [(d, value) for d, value in zip(distances, gold, strict=True) if d > 0]
    if len(kept) < 3:
        return Fit(alpha=math.nan, beta=math.nan, r_squared=math.nan)
    d, value = np.array(kept).T
    design = np.stack([d, -d * (d if is_best_of_n else np.log(d))], axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(design, value, rcond=None)
    left = value - design @ [alpha, beta]
    spread = ((value - value.mean()) ** 2).sum()
    return Fit(alpha=alpha, beta=beta, r_squared=float(1 - (left**2).sum() / spread) if spread else math.nan)


def fall_from_peak(win_rates: Sequence[float]) -> float:
    """What share of the highest win rate is lost at the end: `(max - last) / max`."""
    return 1 - win_rates[-1] / max(win_rates)
