"""What a number of prompts can show: intervals of means by bootstrap over prompts, and an exact test against equal policies. No torch."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

TAIL = 0.025  # on each side of a 95 % interval
NUM_RESAMPLES = 10_000
NUM_WORST = 2


def bootstrap_mean(totals: ArrayLike, weights: ArrayLike, reach: float) -> tuple[float, float, float]:
    """`sum(totals) / sum(weights)` with its 95 % interval; a prompt gives one total and one weight. nan three times without prompts.

    An end of the interval is a quantile, .025 or .975, of the means of 10,000 draws of n prompts and two more, each prompt with all that
    belongs to it (percentile bootstrap, Efron 1979). The two more, of mean weight, are the worst for that end: `-reach` for the lower
    one and `reach` for the upper one. Without them prompts that are all alike would show everything, and an end would be wrong far more
    often than it may; with them it is right also for few prompts (Agresti and Coull 1998 add two successes and two failures for the
    same purpose). Fewer than nine prompts of equal weight never show a mean other than zero, if none lies farther than `reach`.

    The random numbers are a generator's of its own, seeded with 0; the prompts' order does not matter.
    """
    rows = np.column_stack([totals, weights])
    if len(rows) == 0:
        return math.nan, math.nan, math.nan
    total, weight = rows.sum(axis=0)
    mean_weight = weight / len(rows)
    ends = []
    for worst, share in ((-reach, TAIL), (reach, 1 - TAIL)):
        drawable = np.vstack([rows, [[worst * mean_weight, mean_weight]] * NUM_WORST])
        prompts, counts = np.unique(drawable, axis=0, return_counts=True)
        drawn = np.random.default_rng(0).multinomial(len(drawable), counts / len(drawable), size=NUM_RESAMPLES)
        ends.append(float(np.quantile((drawn @ prompts[:, 0]) / (drawn @ prompts[:, 1]), share)))
    return float(total / weight), ends[0], ends[1]


def win_rate(outcomes: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of one outcome per prompt (1 = the policy is better, .5 = equal, 0 = worse).

    One number per prompt, since several completions of one prompt are no independent trials.
    """
    above = np.subtract(outcomes, 0.5)
    mean, low, high = (0.5 + one for one in bootstrap_mean(above, np.ones(len(above)), reach=0.5))
    return mean, low, high


def sign_flip_p_value(outcomes: Sequence[float], num_games: int) -> float:
    """At most this is the chance that two equal policies give such a win rate; of each prompt the outcome of `num_games` games.

    Between equal policies `outcome - 1/2` of a prompt is as likely as its opposite, whatever the other prompts give. So of all ways to
    choose the signs, the share whose sum is at least the one that was seen is such a chance (Fisher 1935, "The Design of Experiments",
    21). It is right also far out, where a bootstrap or a normal approximation is not: it is counted, prompt by prompt, not drawn.
    Ties say nothing. It assumes that prompts are independent.

    Two lost prompts are added, as for the lower end of `win_rate`, which makes the chance larger. Equal policies do not need them. Of
    another policy that is a little better on most prompts, lost on a few, and no better on average, few prompts might show the good
    side alone; by the signs alone 20 prompts did so ten times as often as they may.
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
