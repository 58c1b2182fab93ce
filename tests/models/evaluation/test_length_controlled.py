"""The win rate at equal lengths, against arithmetic and scikit-learn's logistic regression."""

import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from models.evaluation.comparison import compare
from models.evaluation.intervals import win_rate
from models.evaluation.length_controlled import length_controlled_win_rate
from models.evaluation.metrics import outcomes_by_prompt
from tests.tolerances import close


def played(seed: int, bias: float, per_length: float, num: int = 300):
    """One completion of each of two models: the first is better with the chance sigmoid(bias + per_length * tanh(d / 20)), a tenth are ties."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, 80, (2, num))
    lengths[0] += 10  # the first one is the longer one
    gaps = lengths[0] - lengths[1]
    chance = expit(bias + per_length * np.tanh(gaps / gaps.std()))
    grades = np.where(rng.random(num) < 0.1, 0.5, rng.random(num) < chance)
    texts = [["x" * length for length in own] for own in lengths]
    return grades.tolist(), [0.5] * num, *texts, gaps


@pytest.mark.parametrize(("bias", "per_length"), [(0.0, 2.0), (1.0, 0.0), (1.0, -2.0), (-0.5, 4.0)])
def test_it_is_sklearns_logistic_regression_at_no_difference(bias, per_length):
    first, second, longer, shorter, gaps = played(1, bias, per_length)
    found, low, high = length_controlled_win_rate(first, second, longer, shorter, num_samples=1)
    assert close(found, peer(first, gaps), tolerance=1e-3) and low < found < high


def peer(grades: list[float], gaps: np.ndarray) -> float:
    """scikit-learn's: a half label is both labels at half weight; C = 1 / .01 on the sum over games, which leaves the intercept alone."""
    length, labels = np.tanh(gaps / gaps.std())[:, None], np.array(grades)
    model = LogisticRegression(C=100, tol=1e-10, max_iter=1000).fit(
        np.vstack([length, length]), [1] * len(gaps) + [0] * len(gaps), np.concatenate([labels, 1 - labels])
    )
    return float(expit(model.intercept_[0]))


def test_where_the_longer_one_always_wins_the_prior_keeps_it_finite():
    gaps = np.array([5, 10, 20, 40, -30, -45])
    texts = ["x" * (60 + gap) for gap in gaps], ["x" * 60] * 6
    found, *_ = length_controlled_win_rate([float(gap) for gap in gaps], [0.0] * 6, *texts, num_samples=1)
    assert close(found, peer([1.0] * 4 + [0.0] * 2, gaps), tolerance=1e-3)


def test_where_length_alone_decides_nobody_is_better():
    rng = np.random.default_rng(2)
    texts = [["x" * length for length in rng.integers(20, 80, 400)] for _ in range(2)]
    grades = [[float(len(text)) for text in own] for own in texts]
    texts[0] = [text + "x" * 15 for text in texts[0]]
    grades[0] = [grade + 15 for grade in grades[0]]
    plain = win_rate(outcomes_by_prompt(*grades, 1))
    found, low, high = length_controlled_win_rate(*grades, *texts, num_samples=1)
    assert plain[1] > 0.6 and abs(found - 0.5) < 0.05 and low < 0.5 < high


@pytest.mark.parametrize("num_samples", [1, 2])
def test_without_a_difference_of_length_it_is_the_win_rate(num_samples):
    rng = np.random.default_rng(3)
    grades = rng.integers(0, 3, (2, 60)).astype(float).tolist()
    texts = [["x" * 30] * 60] * 2
    assert close(
        length_controlled_win_rate(*grades, *texts, num_samples), win_rate(outcomes_by_prompt(*grades, num_samples))
    )


def test_lengths_that_say_nothing_leave_the_win_rate():
    rng = np.random.default_rng(4)
    grades = rng.integers(0, 3, (2, 800)).astype(float).tolist()
    texts = [["x" * length for length in rng.integers(20, 80, 800)] for _ in range(2)]
    outcomes = outcomes_by_prompt(*grades, 2)
    assert close(length_controlled_win_rate(*grades, *texts, num_samples=2), win_rate(outcomes), tolerance=0.01)


def test_what_cannot_be_told_is_not():
    all_won = length_controlled_win_rate([1.0] * 9, [0.0] * 9, ["xx", "x", "x"] * 3, ["x"] * 9, num_samples=1)
    assert close(all_won, win_rate([1.0] * 9))
    same = length_controlled_win_rate([1.0, 0.0], [0.0, 1.0], ["xx"] * 2, ["x"] * 2, num_samples=1)
    assert all(map(math.isnan, same)) and all(map(math.isnan, length_controlled_win_rate([], [], [], [], 1)))


def test_95_of_100_intervals_hold_the_figure():
    held = []
    for seed in range(200):
        first, second, *texts, _ = played(seed, 1.0, 2.0, num=60)
        _, low, high = length_controlled_win_rate(first, second, *texts, num_samples=1)
        held.append(low <= 0.05 + 0.9 * expit(1.0) <= high)
    assert 0.92 <= np.mean(held) <= 0.98


def test_a_comparison_tells_it():
    class Longest:
        def grade(self, prompts, completions):
            return [float(len(text)) for text in completions]

        def figures(self, prompts, completions):
            return {}

    found = compare(Longest(), ["p", "q"], ["aa", "b"], ["a", "bb"], num_samples=1).figures
    assert close(found["win_rate_length_controlled"], 0.5, tolerance=1e-6)
