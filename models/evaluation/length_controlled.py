"""The win rate that is left when both models write equally long completions. No torch."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from models.evaluation.intervals import mean_interval

PRIOR_PRECISION = 0.01  # of the length's coefficient: normal around 0, standard deviation 10


def length_controlled_win_rate(
    first: Sequence[float],
    second: Sequence[float],
    first_texts: Sequence[str],
    second_texts: Sequence[str],
    num_samples: int,
) -> tuple[float, float, float]:
    """Win rate of the first model at no difference of length, with its 95 % interval (Dubois et al. 2024, "Length-Controlled AlpacaEval").

    From each model's grades and texts, `num_samples` of each prompt in a row. Each completion of the first model meets each of the
    second's of its prompt; the outcome y is 1, .5 (equal grades) or 0, and is fitted by logistic regression with half labels,

        P(first is better) = sigmoid(a + b tanh(d / s)),

    d the difference of lengths in characters and s its standard deviation over all games; the figure is sigmoid(a). Where lengths never
    differ it is the win rate itself. The paper's difficulty of an instruction is left out: with two models alone it cannot be told from
    the outcome. b has a weak prior, a normal of standard deviation 10, or it would grow without end where length alone decides. The interval is that
    of the prompts' own figures, linear in how each moves sigmoid(a).

    What it does not do: it takes away what goes with length, whether or not length is why (a text that states more facts is longer, and
    rightly preferred); it extrapolates where one model is always the longer one; and where it is always longer by the same, or wins or loses
    nearly everything, nothing can be told of length. nan three times for lengths that differ always by the same, and for no prompts.
    """
    outcomes, gaps = _games(first, second, first_texts, second_texts, num_samples)
    if not outcomes.size or (gaps.std() == 0 and gaps.any()):
        return math.nan, math.nan, math.nan
    length = np.tanh(gaps / (gaps.std() or 1.0))
    rate, by_prompt = float(outcomes.mean()), outcomes.mean(axis=1)
    if 0 < rate < 1 and length.any():
        rate, by_prompt = _at_equal_length(outcomes, length)
    _, low, high = mean_interval(
        by_prompt - 0.5, np.ones(len(by_prompt)), reach=max(0.5, np.abs(by_prompt - 0.5).max())
    )
    return rate, max(0.0, 0.5 + low), min(1.0, 0.5 + high)


def _games(
    first: Sequence[float],
    second: Sequence[float],
    first_texts: Sequence[str],
    second_texts: Sequence[str],
    num_samples: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Outcome and difference of length of each game, a row for each prompt."""
    outcomes, gaps = [], []
    for start in range(0, len(first), num_samples):
        games = list(product(range(start, start + num_samples), repeat=2))
        outcomes.append([(first[a] > second[b]) + 0.5 * (first[a] == second[b]) for a, b in games])
        gaps.append([len(first_texts[a]) - len(second_texts[b]) for a, b in games])
    return np.array(outcomes, dtype=float), np.array(gaps, dtype=float)


def _at_equal_length(outcomes: np.ndarray, length: np.ndarray) -> tuple[float, np.ndarray]:
    """sigmoid(a), and each prompt's own figure, whose mean it is: sigmoid(a) plus n times what the prompt's slope moves it by."""
    design = np.stack([np.ones(outcomes.size), length.ravel()], axis=1)
    labels, prior = outcomes.ravel(), np.array([0.0, PRIOR_PRECISION])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = design @ weights
        surprise = -(labels * log_expit(logits) + (1 - labels) * log_expit(-logits)).sum()
        return surprise + prior @ weights**2 / 2, design.T @ (expit(logits) - labels) + prior * weights

    weights = minimize(loss, np.zeros(2), jac=True, tol=1e-10).x
    expected = expit(design @ weights)
    hessian = (design * (expected * (1 - expected))[:, None]).T @ design + np.diag(prior)
    slopes = (design * (labels - expected)[:, None]).reshape(*outcomes.shape, 2).sum(axis=1)
    rate = float(expit(weights[0]))
    moved = len(outcomes) * np.linalg.solve(hessian, slopes.T)[0] * rate * (1 - rate)
    return rate, rate + moved
