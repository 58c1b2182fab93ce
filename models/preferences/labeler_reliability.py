"""How far each labeler can be relied on: how well the others' rankings predict theirs. Loads no torch."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from models.preferences.leave_one_out import Others
from models.preferences.vote_table import VoteTable
from models.shapes import Float, Int

RELIABILITY_SD = 0.5  # of the prior that pulls a labeler's reliability to 1
MAX_ROUNDS = 40
ROUND_TOLERANCE = 1e-3


class ReliabilityFit(NamedTuple):
    """`reliability[L]` in [0, 1]: 1 = as the model says, 0 = unrelated to (or against) what the others say.

    `lead[M]`: how much stronger the first completion of each comparison is than the second, as the other labelers have it, each
    with the weight of their reliability.
    """

    reliability: Float[np.ndarray, " L"]
    lead: Float[np.ndarray, " M"]


def fit_reliability(votes: VoteTable, start: Float[np.ndarray, " L"]) -> ReliabilityFit:
    """Every labeler's reliability a_l, and what the others think of each of their comparisons.

    Alternates: strengths from everybody else's rankings of the same question, for each voter apart; then each a_l from its own
    comparisons under those strengths. A labeler whose a_l turns back moves half as far from then on: labelers who disagree
    answer each other, and could swing for ever. `start` should be each labeler's agreement with the others: an upside-down
    labeler then does not spoil the first strengths.
    """
    others = Others(votes)
    labeler = votes.labeler[votes.ranking]
    won, weight = (1 + votes.sign) / 2, 2 / votes.num_entries[votes.ranking]
    reliability, moved, pace = start, np.zeros(len(start)), np.ones(len(start))
    for _ in range(MAX_ROUNDS):
        lead = others.lead(reliability)
        best = _sharpness(labeler, lead, won, weight, reliability)
        if np.abs(best - reliability).max() < ROUND_TOLERANCE:
            break
        pace = np.where((best - reliability) * moved < 0, pace / 2, pace)
        moved = pace * (best - reliability)
        reliability = reliability + moved
    return ReliabilityFit(np.round(reliability, 3), np.round(lead, 2))  # the rounds stop at this precision


def _sharpness(
    labeler: Int[np.ndarray, " M"],
    gap: Float[np.ndarray, " M"],
    won: Float[np.ndarray, " M"],
    weight: Float[np.ndarray, " M"],
    start: Float[np.ndarray, " L"],
) -> Float[np.ndarray, " L"]:
    """The most probable a_l in [0, 1] of each labeler, given the others' strength gaps of its comparisons.

    Minimises sum weight [log(1 + e^z) - won z] + (a - 1)^2 / (2 sd^2), z = a gap. The curvature falls as a grows from 0, so that
    Newton's method, wherever it starts, comes to the minimum from below and needs no shortening.
    """
    a, precision = start, 1 / RELIABILITY_SD**2
    pull = weight * gap
    bend = pull * gap
    for _ in range(50):
        p = expit(a[labeler] * gap)
        slope = np.bincount(labeler, pull * (p - won), len(a)) + (a - 1) * precision
        curvature = np.bincount(labeler, bend * p * (1 - p), len(a)) + precision
        a, before = np.clip(a - slope / curvature, 0, 1), a
        if np.abs(a - before).max() < 1e-5:
            break
    return a
