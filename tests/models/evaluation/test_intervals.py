"""Intervals and chances against enumeration, exact binomials and worked examples, and how often they are wrong."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm
from scipy.stats import t as student

from models.evaluation.intervals import mean_interval, sign_flip_p_value, win_rate
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
    assert close(sign_flip_p_value(outcomes.tolist(), num_samples**2), expected, tolerance=1e-12)


def test_ties_say_nothing():
    # seven wins and two lost: of nine coins seven or more, (36 + 9 + 1) / 512
    assert sign_flip_p_value([1.0] * 7 + [0.5] * 40, 4) == sign_flip_p_value([1.0] * 7, 4) == 46 / 512
    assert sign_flip_p_value([0.5] * 40, 1) == 1


def test_twenty_prompts_that_win_a_little_do_not_show_that_none_is_lost():
    """Of a policy with .625 on four prompts of five and 0 on the fifth, no better on average, 20 prompts are all won with .8^20 = .012."""
    assert sign_flip_p_value([0.625] * 20, 4) > 0.012


# intervals


def wilson(wins: int, num: int) -> tuple[float, float]:
    """Wilson's interval of a share by scipy, at the level at which the normal's quantile is Student's."""
    level = 2 * norm.cdf(student.ppf(0.975, num - 1)) - 1
    found = binomtest(wins, num).proportion_ci(level, method="wilson")
    return found.low, found.high


@pytest.mark.parametrize(("wins", "num"), [(0, 5), (9, 9), (7, 10), (29, 30), (130, 200), (200, 200)])
def test_the_interval_of_coins_is_wilsons_with_students_t(wins, num):
    found = win_rate([1.0] * wins + [0.0] * (num - wins))
    assert close(found, (wins / num, *wilson(wins, num)), tolerance=1e-9)


def test_ties_and_averages_are_worth_more_prompts():
    """100 prompts of which 80 are ties, or of averages .75 and .25: .05 and .0625 for a coin's variance of .25, one coin added."""
    for outcomes, in_coins in (([1.0, 0.0] * 10 + [0.5] * 80, 0.05 / 0.25), ([0.75, 0.25] * 50, 0.0625 / 0.25)):
        num, quantile = 100 / (in_coins + 1 / 100), 1.984217  # 476 and 385 coins; Student's t of 99
        half = quantile * math.sqrt(0.25 / num + quantile**2 / (4 * num**2)) / (1 + quantile**2 / num)
        assert close(win_rate(outcomes), (0.5, 0.5 - half, 0.5 + half), tolerance=1e-6)


@pytest.mark.parametrize("num", [1, 2, 5, 9, 20, 200])
def test_outcomes_that_are_all_alike_do_not_show_everything(num):
    mean, low, high = win_rate([0.5] * num)
    # as 1 / n of a coin's variance: t * .5 / n, for one prompt anything
    assert mean == 0.5 and close(high - 0.5, 0.5 - low) and 0.4 / num < high - low <= 1
    assert win_rate([1.0] * num)[1] <= 0.025 ** (1 / num), (
        "of which n of n have a chance of .025 (Clopper and Pearson 1934)"
    )


def test_a_mean_lies_within_its_interval_also_at_the_end():
    found = [win_rate([outcome] * num) for num in range(1, 60) for outcome in (0.0, 1.0)]
    assert all(low <= mean <= high for mean, low, high in found)


def test_an_interval_does_not_hang_on_the_order_of_prompts():
    outcomes = list(np.random.default_rng(1).integers(0, 9, 100) / 8)
    assert close(win_rate(outcomes), win_rate(sorted(outcomes)))


# how often an interval holds the truth


def coins(share: float):
    return lambda rng, num: (rng.random(num) < share) * 1.0


def ties(lost: float, won: float):
    return lambda rng, num: rng.choice([0.0, 0.5, 1.0], num, p=[lost, 1 - lost - won, won])


def averages(lead: float, spread: float):
    """Three completions of each of two models, nine games a prompt; prompts suit one model more than the other."""

    def draw(rng, num):
        of_prompt = rng.normal(lead, spread, (num, 1, 1))
        return (rng.normal(of_prompt, 1, (num, 3, 1)) > rng.normal(size=(num, 1, 3))).mean(axis=(1, 2))

    return draw


def normal_share(lead: float, spread: float) -> float:
    """The chance that lead + spread * z + z' - z'' is above zero."""
    return float(norm.cdf(lead / math.sqrt(2 + spread**2)))


WIN_RATES = {
    **{"coins": (coins(0.5), 0.5), "mostly won": (coins(0.9), 0.9), "few lost": (coins(0.95), 0.95)},
    **{
        "ties": (ties(0.1, 0.1), 0.5),
        "ties, better": (ties(0.05, 0.7), 0.825),
        "ties, few lost": (ties(0.02, 0.2), 0.59),
    },
    "samples": (averages(0, 1), 0.5),
    "samples, better": (averages(1, 1), normal_share(1, 1)),
    "samples, much better": (averages(2, 0.5), normal_share(2, 0.5)),
}
"""How outcomes fall, and their true mean."""


@pytest.mark.parametrize("kind", WIN_RATES)
@pytest.mark.parametrize("num", [30, 200])
def test_95_of_100_intervals_of_a_win_rate_hold_it(kind, num):
    draw, truth = WIN_RATES[kind]
    rng = np.random.default_rng(0)
    found = np.array([win_rate(list(draw(rng, num))) for _ in range(1000)])
    assert 0.92 <= ((found[:, 1] <= truth) & (truth <= found[:, 2])).mean() <= 0.98


def accuracies(rng, num):
    """Two reward models that are right for .8 of six pairs a prompt, alike in half of them."""
    chance = rng.beta(4, 1, num)[:, None]
    draws = rng.random((2, num, 6))
    draws[1] = np.where(rng.random(draws[1].shape) < 0.5, draws[0], draws[1])
    return (draws < chance).mean(axis=2)


def preferred(rng, num):
    """Two versions, two completions each, against the same four texts by people; both find the same prompts hard."""
    people, hard = rng.normal(size=(num, 1, 4)), rng.normal(size=(num, 1, 1))
    return [(rng.normal(lead + hard, 1, (num, 2, 1)) > people).mean(axis=(1, 2)) for lead in (0, 1)]


def few_gains(rng, num):
    """Most prompts are as before, some are lost by half, half as many are won."""
    return np.zeros(num), rng.choice([-0.5, 0.0, 1.0], num, p=[0.2, 0.7, 0.1])


DIFFERENCES = {
    "accuracies": (accuracies, 0.0),
    "preferred": (preferred, normal_share(1, 1) - 0.5),
    "few gains": (few_gains, 0.0),
}


@pytest.mark.parametrize("kind", DIFFERENCES)
@pytest.mark.parametrize("num", [30, 200])
def test_95_of_100_intervals_of_a_difference_by_prompt_hold_it(kind, num):
    draw, truth = DIFFERENCES[kind]
    rng = np.random.default_rng(0)
    found = [Paired.of(*map(list, draw(rng, num)), weights=[1] * num) for _ in range(1000)]
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.98


@pytest.mark.parametrize("num", [20, 60, 200])
def test_a_coins_share_is_held_by_nine_of_ten_intervals_whatever_it_is(num):
    """Summed over all outcomes: no draws. Discrete outcomes have better and worse shares; from .3 to .9 it is .94 or more."""
    found = np.array([win_rate([1.0] * wins + [0.0] * (num - wins)) for wins in range(num + 1)])
    for share in np.linspace(0.3, 0.99, 139):
        chances = binom.pmf(np.arange(num + 1), num, share)
        assert chances @ (found[:, 1] > share + 1e-9) <= 0.035, share
        held = chances @ ((found[:, 1] <= share + 1e-9) & (share - 1e-9 <= found[:, 2]))
        assert held >= (0.935 if share <= 0.9 else 0.91), share


def test_no_prompts_show_nothing():
    assert np.isnan(mean_interval([], [], reach=1)).all()
    assert math.isnan(paired_accuracy({}, {}, [], {}).high)


# champion and challenger on the same prompts


def test_accuracies_are_shares_of_pairs_and_the_pairs_of_a_prompt_go_together():
    prompt_of = {f"{prompt}{one}": prompt for prompt in "pqr" for one in "abc"}
    pairs = [("pa", "pb"), ("pa", "pc"), ("pb", "pc"), ("qa", "qb"), ("ra", "rb"), ("ra", "rc")]
    champion = {name: -float("abc".index(name[1])) for name in prompt_of}  # all right
    challenger = champion | {"pc": 1.0, "ra": -1.0}  # wrong: pa < pc, pb < pc; equal: ra and rb, right: ra > rc
    found = paired_accuracy(champion, challenger, pairs, prompt_of)
    assert close((found.champion, found.challenger, found.difference), (1, 3.5 / 6, -2.5 / 6))
    # totals -2, 0 and -1/2 on 3, 1 and 2 pairs; what is left of them by the mean of -5/12: -.75, 5/12 and 1/3, over a mean weight of 2
    mean, reach, quantile = -2.5 / 6, 2 / 3, 4.302653  # Student's t of 2
    coin = reach**2 - mean**2
    spread = ((0.75**2 + (5 / 12) ** 2 + (1 / 3) ** 2) / 4 + coin) / 3  # a prompt's variance, with a coin's added
    num = 3 * max(1, coin / spread)
    middle, half = mean, quantile * math.sqrt(coin / num + quantile**2 * reach**2 / num**2)
    widened = 1 + quantile**2 / num
    assert close((found.low, found.high), ((middle - half) / widened, (middle + half) / widened), tolerance=1e-6)


@pytest.mark.parametrize("num", range(1, 7))
def test_six_prompts_never_show_that_one_is_worse(num):
    assert Paired.of([1.0] * num, [0.0] * num, weights=[1] * num).high >= 0
    assert Paired.of([0.0] * num, [1.0] * num, weights=[1] * num).low <= 0


def test_twelve_prompts_show_a_great_loss_and_not_a_small_one():
    great, small = ([loss, loss + 0.1, loss - 0.1] * 4 for loss in (0.6, 0.05))
    for losses, shown in ((great, True), (small, False)):
        found = Paired.of([0.9] * 12, np.subtract(0.9, losses).tolist(), weights=[6] * 12)
        assert (found.high < -0.02) == shown and close(found.difference, -np.mean(losses))


def test_where_everything_is_alike_nothing_differs():
    assert Paired.of([0.5, 1.0], [0.5, 1.0], weights=[1, 1]).model_dump() == {
        **{"champion": 0.75, "challenger": 0.75, "difference": 0, "low": 0, "high": 0}
    }
