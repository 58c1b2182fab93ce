"""Strengths: where the slope is zero, wherever the search starts."""

import numpy as np
import pytest
from scipy.optimize import minimize

from models.preferences.bradley_terry import fit_strengths


def comparisons(seed: int) -> dict[str, np.ndarray]:
    """60 comparisons of 3 times 4 things, in no order, some of the same two."""
    rng = np.random.default_rng(seed)
    group, first, lag = rng.integers(0, 3, 60), rng.integers(0, 3, 60), rng.integers(1, 4, 60)
    return {
        "first": 4 * group + first,
        "second": 4 * group + np.minimum(first + lag, 3),
        "won": rng.integers(0, 3, 60) / 2,
        "sharpness": rng.uniform(0, 1, 60),
        "weight": rng.uniform(0.2, 1, 60),
        "variance": rng.uniform(2, 20, 12),
    }


def by_scipy(first, second, won, sharpness, weight, variance) -> np.ndarray:
    def loss(theta: np.ndarray) -> float:
        z = sharpness * (theta[first] - theta[second])
        return (weight * (np.log1p(np.exp(z)) - won * z)).sum() + (theta**2 / variance).sum() / 2

    return minimize(loss, np.zeros(len(variance)), method="BFGS", options={"gtol": 1e-8, "xrtol": 1e-12}).x


@pytest.mark.parametrize("seed", range(3))
def test_strengths_are_those_of_a_general_minimiser(seed):
    given = comparisons(seed)
    theta = fit_strengths(**given, start=np.zeros(12))
    assert theta == pytest.approx(by_scipy(**given), abs=2e-5)
    assert np.abs(theta).max() > 0.5


@pytest.mark.parametrize("scale", [1.0, 40.0])  # at 40 the curve is flat, and a full step would overshoot
def test_the_start_changes_nothing(scale):
    given = comparisons(0)
    start = scale * np.random.default_rng(1).choice([-1.0, 1.0], 12)
    assert fit_strengths(**given, start=start) == pytest.approx(fit_strengths(**given, start=np.zeros(12)), abs=1e-7)


def test_comparisons_of_the_same_two_are_summed():
    # 2 : 1 for the first, weight 1, variance 4: theta = +-d/2 with 3 (sigmoid(d) - 2/3) + d / 8 = 0, so d = .553 by bisection
    low, high = 0.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 3 * (1 / (1 + np.exp(-middle)) - 2 / 3) + middle / 8 < 0 else (low, middle)
    ones = np.ones(3)
    theta = fit_strengths(
        np.zeros(3, int), np.ones(3, int), np.array([1.0, 0.0, 1.0]), ones, ones, np.full(2, 4.0), start=np.zeros(2)
    )
    assert theta == pytest.approx([low / 2, -low / 2], abs=1e-8)


def test_nothing_compared_is_nothing_known():
    nothing, none = np.zeros(0, int), np.zeros(0)
    assert fit_strengths(nothing, nothing, none, none, none, np.ones(2), start=np.ones(2)).tolist() == [0, 0]
