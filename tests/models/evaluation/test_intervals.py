"""Intervals and chances against enumeration, exact binomials and worked examples, and how often they are wrong."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from models.evaluation.intervals import bootstrap_mean, sign_flip_p_value, win_rate
from models.evaluation.paired import Paired
from models.evaluation.reward_report import paired_accuracy
from tests.tolerances import close

# the chance between equal policies


@pytest.mark.parametrize(("wins", "num"), [(3, 3), (8, 10), (5, 10), (0, 10), (130, 200), (180, 200), (1100, 2000)])
def test_without_ties_the_chance_is_a_coins_with_two_more_lost(wins, num):
    expected = binom.sf(wins - 1, num + 2, 0.5)  # 180 of 202: 2e-32
    assert close(sign_flip_p_value([1.0] * wins + [0.0] * (num - wins), 1) / expected, 1, tolerance=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_samples", [2, 3])
def test_the_chance_is_the_share_of_all_signs_whose_sum_is_as_high(seed, num_samples):
    num_halves = 2 * num_samples**2  # of games: a tie counts half
    outcomes = np.random.default_rng(seed).integers(0, num_halves + 1, 8) / num_halves
    halves = np.rint((np.array([*outcomes, 0, 0]) - 0.5) * num_halves).astype(int)
    sums = [np.dot(signs, abs(halves)) for signs in product([-1, 1], repeat=10)]
    expected = sum(one >= halves.sum() for one in sums) / 2**10
    assert close(sign_flip_p_value(outcomes, num_samples**2), expected, tolerance=1e-12)


def test_ties_say_nothing():
    # seven wins and two lost: of nine coins seven or more, (36 + 9 + 1) / 512
    assert sign_flip_p_value([1.0] * 7 + [0.5] * 40, 4) == sign_flip_p_value([1.0] * 7, 4) == 46 / 512
    assert sign_flip_p_value([0.5] * 40, 1) == 1


def test_twenty_prompts_that_win_a_little_do_not_show_that_none_is_lost():
    """Of a policy with .625 on four prompts of five and 0 on the fifth, no better on average, 20 prompts are all won with .8^20 = .012."""
    assert sign_flip_p_value([0.625] * 20, 4) > 0.012


# intervals


def two_more(num: int) -> float:
    """Of n + 2 draws among n + 2 prompts, two of them the worst: the share of the worst that is passed with a chance of .025."""
    return binom.isf(0.025, num + 2, 2 / (num + 2)) / (num + 2)


@pytest.mark.parametrize("num", [1, 2, 5, 8, 9, 20, 200])
def test_outcomes_that_are_all_alike_show_no_more_than_their_number_can(num):
    worst = two_more(num)  # 4 of 7, 5 of 10 and of 11, 5 of 202
    assert close(win_rate([1.0] * num), (1, 1 - worst, 1))
    assert close(win_rate([0.0] * num), (0, 0, worst))
    assert close(win_rate([0.5] * num), (0.5, 0.5 - worst / 2, 0.5 + worst / 2))
    assert (win_rate([1.0] * num)[1] > 0.5) == (num > 8)
    assert win_rate([1.0] * num)[1] <= 0.025 ** (1 / num), (
        "of which n of n have a chance of .025 (Clopper and Pearson 1934)"
    )


def test_ties_and_averages_narrow_the_interval_and_it_is_that_of_the_normal_for_many_prompts():
    coin = [1.0, 0.0] * 200
    for outcomes, deviation in ((coin, 0.5), (coin + [0.5] * 1200, 0.25), ([0.75, 0.25] * 200, 0.25)):
        half = 1.96 * deviation / math.sqrt(len(outcomes)) + 1 / len(outcomes)  # two lost prompts take 2 * .5 / n
        assert close(win_rate(outcomes), (0.5, 0.5 - half, 0.5 + half), tolerance=0.04 * half)


def test_an_interval_does_not_hang_on_the_order_of_prompts_nor_on_when_it_is_asked_for():
    outcomes = list(np.random.default_rng(1).integers(0, 9, 100) / 8)
    assert win_rate(outcomes) == win_rate(outcomes) == win_rate(sorted(outcomes))


@pytest.mark.parametrize("num", [5, 20, 60, 200])
def test_a_coins_share_lies_below_the_interval_no_more_often_than_it_may(num):
    lows = np.array([win_rate([1.0] * wins + [0.0] * (num - wins))[1] for wins in range(0, num + 1)])
    for share in np.linspace(0.3, 0.99, 70):
        assert binom.pmf(np.arange(num + 1), num, share) @ (lows > share + 1e-9) <= 0.025, share


def test_no_prompts_show_nothing():
    assert np.isnan(bootstrap_mean([], [], reach=1)).all()
    assert math.isnan(paired_accuracy({}, {}, [], {}).high)


# champion and challenger on the same prompts


def test_accuracies_are_shares_of_pairs_and_the_pairs_of_a_prompt_go_together():
    prompt_of = {f"{prompt}{one}": prompt for prompt in "pqr" for one in "abc"}
    pairs = [("pa", "pb"), ("pa", "pc"), ("pb", "pc"), ("qa", "qb"), ("ra", "rb"), ("ra", "rc")]
    champion = {name: -float("abc".index(name[1])) for name in prompt_of}  # all right
    challenger = champion | {"pc": 1.0, "ra": -1.0}  # wrong: pa < pc, pb < pc; equal: ra and rb, right: ra > rc
    found = paired_accuracy(champion, challenger, pairs, prompt_of)
    assert close((found.champion, found.challenger, found.difference), (1, 3.5 / 6, -2.5 / 6))
    # by prompt -2/3, 0 and -1/4 on 3, 1 and 2 pairs, and twice the worst, 2/3 up or down on the mean of 2 pairs: all 5^5 draws
    for end, worst, share in ((found.low, -4 / 3, 0.025), (found.high, 4 / 3, 0.975)):
        drawn = np.array(list(product([(-2.0, 3), (0.0, 1), (-0.5, 2), (worst, 2), (worst, 2)], repeat=5))).sum(axis=1)
        assert close(end, np.quantile(drawn[:, 0] / drawn[:, 1], share), tolerance=0.03)


@pytest.mark.parametrize("num", range(1, 9))
def test_eight_prompts_never_show_that_one_is_worse(num):
    assert Paired.of([1.0] * num, [0.0] * num, weights=[1] * num).high >= 0
    assert Paired.of([0.0] * num, [1.0] * num, weights=[1] * num).low <= 0


def test_twelve_prompts_show_a_great_loss_and_not_a_small_one():
    great, small = ([loss, loss + 0.1, loss - 0.1] * 4 for loss in (0.6, 0.05))
    for losses, shown in ((great, True), (small, False)):
        found = Paired.of([0.9] * 12, np.subtract(0.9, losses), weights=[6] * 12)
        assert (found.high < -0.02) == shown and close(found.difference, -np.mean(losses))


def test_where_everything_is_alike_nothing_differs():
    assert Paired.of([0.5, 1.0], [0.5, 1.0], weights=[1, 1]).model_dump() == {
        **{"champion": 0.75, "challenger": 0.75, "difference": 0, "low": 0, "high": 0}
    }
