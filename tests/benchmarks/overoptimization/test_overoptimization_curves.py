"""Best of n over all draws, Gao et al.'s two forms, and how far a judge's liking falls."""

import math
from itertools import combinations

import numpy as np
import pytest

from benchmarks.overoptimization.curves import best_of_n_means, fall_from_peak, fit_form
from tests.tolerances import close


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_best_of_n_is_the_mean_over_all_draws(n):
    scores, judged = [0.3, -1.0, 2.0, 0.7, 0.1], [1.0, 5.0, -2.0, 4.0, 0.5]
    chosen = [judged[max(own, key=lambda place: scores[place])] for own in combinations(range(5), n)]
    assert close(best_of_n_means(scores, judged, [n])[0], sum(chosen) / len(chosen), tolerance=1e-12)


def test_what_was_made_by_a_form_is_found_again():
    d = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
    best_of_n = fit_form(d, [x * (2.0 - 0.4 * x) for x in d], is_best_of_n=True)
    assert close([best_of_n.alpha, best_of_n.beta, best_of_n.r_squared], [2.0, 0.4, 1.0], tolerance=1e-9)
    rl = fit_form(d, [x * (1.5 - 0.7 * math.log(x)) if x else 0.0 for x in d], is_best_of_n=False)
    assert close([rl.alpha, rl.beta, rl.r_squared], [1.5, 0.7, 1.0], tolerance=1e-9)


def test_r_squared_is_the_share_of_variance_that_the_form_explains():
    d, gold = [1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]
    design = np.array([[x, -(x**2)] for x in d])
    weights = np.linalg.solve(design.T @ design, design.T @ gold)  # the normal equations
    left = ((np.array(gold) - design @ weights) ** 2).sum()
    assert close(
        fit_form(d, gold, is_best_of_n=True).r_squared, 1 - left / 5.0, tolerance=1e-9
    )  # around 2.5: 2.25+.25+.25+2.25
    assert math.isnan(fit_form([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], is_best_of_n=True).alpha), "two points fit anything"


def test_the_fall_is_a_share_of_the_highest_win_rate():
    assert fall_from_peak([0.5, 0.8, 0.7, 0.6]) == pytest.approx(0.25)
    assert fall_from_peak([0.5, 0.6, 0.7]) == 0.0
    assert fall_from_peak([0.5, 0.4]) == pytest.approx(0.2), "it was liked best as it began"
