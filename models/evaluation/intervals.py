"""What a number of prompts can show: intervals of means over prompts, and an exact test against equal policies. No torch."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

NUM_WORST = 2


def mean_interval(
    totals: Sequence[float] | np.ndarray, weights: Sequence[float] | np.ndarray, reach: float
) -> tuple[float, float, float]:
    """`sum(totals) / sum(weights)` with its 95 % interval; a prompt gives one total and one weight. nan three times without prompts.

    No prompt's own mean lies farther from zero than `reach`. The interval is Wilson's (1927) of a share, stretched from 0 .. 1 to
    `-reach .. reach`, with Student's t for the normal's quantile, and with as many coins as the n prompts are worth: n times the variance
    of a coin of this mean over that of the prompts (effective sample size, Korn and Graubard 1998). Ties and averages of several
    completions vary less than coins and are worth more; what belongs to a prompt goes together. One prompt that varies as a coin is
    added to the variance: prompts that are all alike would show everything without it.

    It holds the true mean in about 95 of 100 cases from 20 prompts on, also of skewed outcomes; docs/decisions/0037 says where it does not, and why it
    is no bootstrap.
    """
    totals, weights = np.asarray(totals, dtype=float), np.asarray(weights, dtype=float)
    num = len(totals)
    if num == 0:
        return math.nan, math.nan, math.nan
    mean = totals.sum() / weights.sum()
    coin = reach**2 - mean**2  # the largest variance that such a mean allows
    worth = 1.0  # of a prompt, in coins
    if coin > 1e-12 * reach**2:
        deviations = (totals - mean * weights) / weights.mean()
        worth = max(1.0, num / (deviations @ deviations / coin + 1))
    squared = student.ppf(0.975, max(num - 1, 1)) ** 2 / (num * worth)
    middle = mean / (1 + squared)
    half = math.sqrt(squared * (max(coin, 0) + squared * reach**2)) / (1 + squared)
    low, high = min(mean, middle - half), max(mean, middle + half)  # where they are equal rounding could cross them
    return float(mean), float(low), float(high)


def win_rate(outcomes: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of one outcome per prompt (1 = the policy is better, .5 = equal, 0 = worse).

    One number per prompt, since several completions of one prompt are no independent trials.
    """
    above = np.subtract(outcomes, 0.5)
    mean, low, high = (0.5 + one for one in mean_interval(above, np.ones(len(above)), reach=0.5))
    return mean, low, high


def sign_flip_p_value(outcomes: Sequence[float], num_games: int) -> float:
    """At most this is the chance that two equal policies give such a win rate; of each prompt the outcome of `num_games` games.

    Between equal policies `outcome - 1/2` of a prompt is as likely as its opposite, whatever the other prompts give. So of all ways to
    choose the signs, the share whose sum is at least the one that was seen is such a chance (Fisher 1935, "The Design of Experiments",
    21). It is right also far out, where a bootstrap or a normal approximation is not: it is counted, prompt by prompt, not drawn.
    Ties say nothing. It assumes that prompts are independent.

    Two lost prompts are added, which makes the chance larger. Equal policies do not need them. Of another policy that is
    a little better on most prompts, lost on a few, and no better on average, few prompts might show the good side alone; by the signs
    alone 20 prompts did so ten times as often as they may.
    """
    lost = [0.0] * NUM_WORST
    leads = np.rint((2 * np.array([*outcomes, *lost]) - 1) * num_games).astype(int)  # games won less games lost
    steps = np.abs(leads)
    chances = np.zeros(2 * steps.sum() + 1)  # of the sums from -steps.sum() on
    chances[0] = 1
    for step in steps[steps > 0]:
        chances[2 * step :] += chances[: -2 * step]
        chances /= 2
    return float(chances[steps.sum() + leads.sum() :].sum())
