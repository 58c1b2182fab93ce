"""How far each labeler can be relied on: how well the others' rankings predict theirs. Loads no torch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from models.preferences.bradley_terry import fit_strengths
from models.preferences.vote_table import VoteTable, ranges, starts_of
from models.shapes import Float, Int

RELIABILITY_SD = 0.5  # of the prior that pulls a labeler's reliability to 1
MAX_ROUNDS = 40
ROUND_TOLERANCE = 1e-3
BLOCK = 400_000  # comparisons taken together: arrays of 3 MB


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
    others = _Others(votes)
    voter = votes.voter[votes.ranking]
    labeler = votes.voter_labeler[voter]
    shift = others.start[voter] - votes.item_start[votes.voter_question[voter]]
    first, second = votes.first_item + shift, votes.second_item + shift
    reliability, moved, pace = start, np.zeros(len(start)), np.ones(len(start))
    for _ in range(MAX_ROUNDS):
        theta = others.refit(reliability)
        lead = theta[first] - theta[second]
        best = _sharpness(labeler, lead, others.won, others.weight, reliability)
        if np.abs(best - reliability).max() < ROUND_TOLERANCE:
            break
        pace = np.where((best - reliability) * moved < 0, pace / 2, pace)
        moved = pace * (best - reliability)
        reliability = reliability + moved
    return ReliabilityFit(np.round(reliability, 3), np.round(lead, 2))  # the rounds stop at this precision


class _Others:
    """For each voter, the strengths that everybody else's rankings of its question give.

    Each voter has strengths of its own, as many as its question has items, from `start[voter]` on. They are kept from one fit to
    the next, which then starts near its end.
    """

    def __init__(self, votes: VoteTable):
        self.votes = votes
        self.won, self.weight = (1 + votes.sign) / 2, 2 / votes.num_entries[votes.ranking]
        self._voter = votes.voter[votes.ranking]
        size = votes.num_items[votes.voter_question]
        self.start = starts_of(size)
        self._variance = votes.item_variance[ranges(votes.item_start[votes.voter_question], size)]
        self._theta = np.zeros(len(self._variance))
        count = np.bincount(votes.voter_question[self._voter], minlength=len(votes.questions))
        self._begin, self._count = starts_of(count)[votes.voter_question], count[votes.voter_question]

    def refit(self, reliability: Float[np.ndarray, " L"]) -> Float[np.ndarray, " N"]:
        """The strengths for all voters, one behind the other, when labelers are this reliable."""
        sharpness = reliability[self.votes.voter_labeler]
        for voters in self._blocks():
            target = np.repeat(voters, self._count[voters])
            source = ranges(self._begin[voters], self._count[voters])
            of_others = self._voter[source] != target
            target, source = target[of_others], source[of_others]
            begin = self.start[voters[0]]
            mine = slice(begin, self.start[voters[-1] + 1] if voters[-1] + 1 < len(self.start) else len(self._theta))
            shift = self.start[target] - begin - self.votes.item_start[self.votes.voter_question[target]]
            self._theta[mine] = fit_strengths(
                self.votes.first_item[source] + shift,
                self.votes.second_item[source] + shift,
                self.won[source],
                sharpness[self._voter[source]],
                self.weight[source],
                self._variance[mine],
                start=self._theta[mine],
                tolerance=1e-3,
            )
        return self._theta

    def _blocks(self) -> Iterator[Int[np.ndarray, " N"]]:
        """Voters in turn, so many at a time that their questions have about BLOCK comparisons."""
        block = np.cumsum(self._count) // BLOCK
        yield from np.split(np.arange(len(block)), np.flatnonzero(np.diff(block)) + 1)


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
