"""What the others think: each voter's completions as everybody else's rankings of the same question have them. Loads no torch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from models.preferences.bradley_terry import fit_strengths
from models.preferences.vote_table import VoteTable, ranges, starts_of
from models.shapes import Bool, Float, Int

FEW = 8  # voters of a question: so many are refitted, each apart
BLOCK = 400_000  # comparisons or matrix entries taken together: arrays of 3 MB


class Others:
    """Strengths without what one voter said, for each voter (a labeler on a question): theta_{-v} minimises f - f_v.

    f is what `fit_strengths` minimises over all rankings of the question, f_v the voter's own part of it. Where at most FEW
    voters answered a question, or one gave 1 / FEW of its comparisons or more, that is fitted anew for each of them. For all
    others it would take time that grows with the square of their number; they are stepped to (see `_Stepped`).
    """

    def __init__(self, votes: VoteTable):
        voter = votes.voter[votes.ranking]
        told = np.bincount(voter, minlength=len(votes.voter_labeler))
        of_all = np.bincount(votes.voter_question, told, len(votes.questions))
        is_refitted = (votes.num_voters[votes.voter_question] <= FEW) | (FEW * told >= of_all[votes.voter_question])
        self._is_refitted = is_refitted[voter]
        self._refitted, self._stepped = _Refitted(votes, is_refitted), _Stepped(votes, is_refitted)

    def lead(self, reliability: Float[np.ndarray, " L"]) -> Float[np.ndarray, " M"]:
        """How much stronger the first completion of each comparison is than the second, by the others, when labelers are this reliable."""
        lead = np.empty(len(self._is_refitted))
        lead[self._is_refitted] = self._refitted.lead(reliability)
        lead[~self._is_refitted] = self._stepped.lead(reliability)
        return lead


class _Refitted:
    """Strengths fitted anew for each of these voters, from one fit to the next, which then starts near its end.

    Each voter has strengths of its own, as many as its question has items, from `start[voter]` on; the voters that are not
    asked for have none.
    """

    def __init__(self, votes: VoteTable, is_mine: Bool[np.ndarray, " V"]):
        self.votes = votes
        self.won, self.weight = (1 + votes.sign) / 2, 2 / votes.num_entries[votes.ranking]
        self._voter = votes.voter[votes.ranking]
        size = np.where(is_mine, votes.num_items[votes.voter_question], 0)
        self.start = starts_of(size)
        self._variance = votes.item_variance[ranges(votes.item_start[votes.voter_question], size)]
        self._theta = np.zeros(len(self._variance))
        count = np.bincount(votes.voter_question[self._voter], minlength=len(votes.questions))
        self._begin = starts_of(count)[votes.voter_question]
        self._count = np.where(is_mine, count[votes.voter_question], 0)
        mine = np.flatnonzero(is_mine[self._voter])
        shift = (self.start - votes.item_start[votes.voter_question])[self._voter[mine]]
        self._first, self._second = votes.first_item[mine] + shift, votes.second_item[mine] + shift

    def lead(self, reliability: Float[np.ndarray, " L"]) -> Float[np.ndarray, " C"]:
        """See `Others.lead`; of the comparisons of these voters alone."""
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
        return self._theta[self._first] - self._theta[self._second]

    def _blocks(self) -> Iterator[Int[np.ndarray, " N"]]:
        """Voters in turn, so many at a time that their questions have about BLOCK comparisons."""
        block = np.cumsum(self._count) // BLOCK
        yield from np.split(np.arange(len(block)), np.flatnonzero(np.diff(block)) + 1)


class _Stepped:
    """Strengths without one of many voters, by two steps from the strengths theta that all of them together give.

    At theta the slope of f is 0, so that of f - f_v is -g_v (g_v, H_v: the voter's own slope and curvature). Newton's step from
    there, and what the change of the curvature along it adds (Chebyshev's method), are

        step = (H - H_v)^-1 g_v          theta_{-v} = theta + step - (H - H_v)^-1 c / 2
        c_i = sum_j (T - T_v)_ij (step_i - step_j)^2

    H holds the prior's precision; T_ij is the third derivative of f by the gap theta_i - theta_j. All is needed at the voter's own
    items alone: (H - H_v)^-1 is (1 - C H_v)^-1 C there, C being H^-1 at these items; c is summed over them, where steps are
    long. Time: linear in the number of judgements, and one inverse per question, with the cube of the number of its items.

    Source: Rad & Maleki 2020, "A scalable estimate of the out-of-sample prediction error via approximate leave-one-out
    cross-validation" (the first step).
    """

    def __init__(self, votes: VoteTable, is_left: Bool[np.ndarray, " V"]):
        """`is_left[v]`: nothing is asked about this voter; what it said counts for the others."""
        self.votes = votes
        of_voter = votes.voter[votes.ranking]
        asked = np.bincount(votes.voter_question, ~is_left, len(votes.questions)) > 0
        self._known = np.flatnonzero(asked[votes.voter_question[of_voter]])
        voter = of_voter[self._known]
        question = votes.voter_question[voter]
        self._labeler = votes.voter_labeler[voter]
        self._first, self._second = votes.first_item[self._known], votes.second_item[self._known]
        self._won, self._weight = (1 + votes.sign[self._known]) / 2, 2 / votes.num_entries[votes.ranking[self._known]]
        self._theta = np.zeros(len(votes.item_names))

        size = np.where(asked, votes.num_items, 0)
        self._matrix_start, self._matrix_size = starts_of(size**2), size
        start = votes.item_start[question]
        self._of_questions = list(_batches(size, question, self._first - start, self._second - start))

        own = np.where(is_left, 0, np.bincount(votes.voice_voter, minlength=len(is_left)))
        self._voice_start = starts_of(np.bincount(votes.voice_voter, minlength=len(is_left)))
        mine = np.flatnonzero(~is_left[voter])
        self._mine, start = mine, self._voice_start[voter[mine]]
        entries = votes.first[self._known][mine], votes.second[self._known][mine]
        self._first_voice, self._second_voice = (votes.entry_voice[of] for of in entries)
        self._of_voters = list(_batches(own, voter[mine], self._first_voice - start, self._second_voice - start))

    def lead(self, reliability: Float[np.ndarray, " L"]) -> Float[np.ndarray, " C"]:
        """See `Others.lead`; of the comparisons of the voters asked about."""
        sharpness = reliability[self._labeler]
        of_gaps = self._first, self._second
        self._theta = fit_strengths(
            *of_gaps,
            self._won,
            sharpness,
            self._weight,
            self.votes.item_variance,
            self._theta,
            tolerance=1e-4,
        )
        p = expit(sharpness * (self._theta[self._first] - self._theta[self._second]))
        slope = self._weight * sharpness * (p - self._won)
        bend = self._weight * sharpness**2 * p * (1 - p)
        turn = bend * sharpness * (1 - 2 * p)
        inverse, turns = self._matrices(bend, turn)
        slope, bend, turn = slope[self._mine], bend[self._mine], turn[self._mine]
        size = len(self.votes.voice_item)
        pull = np.bincount(self._first_voice, slope, size) - np.bincount(self._second_voice, slope, size)
        theta = self._theta[self.votes.voice_item]
        for batch in self._of_voters:
            voices, cells = self._places(batch)
            c, own = inverse[cells], batch.curvature(bend)
            without = np.eye(batch.size) - c @ own
            step = np.linalg.solve(without, c @ pull[voices][..., None])[..., 0]
            bent = ((turns[cells] - batch.turns(turn)) * (step[:, :, None] - step[:, None, :]) ** 2).sum(2)
            theta[voices] += step - np.linalg.solve(without, c @ bent[..., None])[..., 0] / 2
        return theta[self._first_voice] - theta[self._second_voice]

    def _matrices(
        self, bend: Float[np.ndarray, " C"], turn: Float[np.ndarray, " C"]
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
        """H^-1 and T of each question, one behind the other."""
        inverse, turns = np.empty((2, int((self._matrix_size**2).sum())))
        for batch in self._of_questions:
            items = self.votes.item_start[batch.members][:, None] + np.arange(batch.size)
            curvature = batch.curvature(bend)
            curvature[:, np.arange(batch.size), np.arange(batch.size)] += 1 / self.votes.item_variance[items]
            cells = self._matrix_start[batch.members][:, None] + np.arange(batch.size**2)
            inverse[cells] = np.linalg.inv(curvature).reshape(cells.shape)
            turns[cells] = batch.turns(turn).reshape(cells.shape)
        return inverse, turns

    def _places(self, batch: "_Batch") -> tuple[Int[np.ndarray, "G K"], Int[np.ndarray, "G K K"]]:
        """The voices of these voters, and where their question's matrices hold what is between two of their items."""
        voices = self._voice_start[batch.members][:, None] + np.arange(batch.size)
        question = self.votes.voter_question[batch.members]
        item = self.votes.voice_item[voices] - self.votes.item_start[question][:, None]
        row = self._matrix_start[question][:, None] + item * self._matrix_size[question][:, None]
        return voices, row[:, :, None] + item[:, None, :]


class _Batch(NamedTuple):
    """Groups of one size K, and the comparisons in them: `cell` counts through [G, K, K], (group, first, second)."""

    members: Int[np.ndarray, " G"]
    size: int
    comparisons: Int[np.ndarray, " N"]
    cell: Int[np.ndarray, " N"]

    def curvature(self, bend: Float[np.ndarray, " C"]) -> Float[np.ndarray, "G K K"]:
        """Second derivatives by the strengths: the sum over comparisons of bend (e_first - e_second) (e_first - e_second)^T."""
        between = self._sums(bend)
        between = between + between.swapaxes(1, 2)
        return np.eye(self.size) * between.sum(2)[:, :, None] - between

    def turns(self, turn: Float[np.ndarray, " C"]) -> Float[np.ndarray, "G K K"]:
        """Third derivatives by the gap of each two; they change sign with the gap."""
        between = self._sums(turn)
        return between - between.swapaxes(1, 2)

    def _sums(self, values: Float[np.ndarray, " C"]) -> Float[np.ndarray, "G K K"]:
        shape = len(self.members), self.size, self.size
        return np.bincount(self.cell, values[self.comparisons], int(np.prod(shape))).reshape(shape)


def _batches(
    size: Int[np.ndarray, " G"],
    group: Int[np.ndarray, " C"],
    first: Int[np.ndarray, " C"],
    second: Int[np.ndarray, " C"],
) -> Iterator[_Batch]:
    """Groups of the same size together, about BLOCK matrix entries at a time; those of size 0 left out.

    `group[c]`: the group of comparison c; `first` and `second` count from 0 within it.
    """
    by_size = np.argsort(size, kind="stable")
    place = np.argsort(by_size)
    by_group = np.argsort(place[group], kind="stable")
    block = np.cumsum(size[by_size] ** 2) // BLOCK
    cuts = np.flatnonzero(np.diff(size[by_size]) | np.diff(block)) + 1
    begins = np.concatenate([[0], cuts])
    parts = np.split(by_group, np.searchsorted(place[group][by_group], cuts))
    for begin, members, mine in zip(begins, np.split(by_size, cuts), parts, strict=True):
        k = int(size[members[0]]) if len(members) else 0
        if k:
            yield _Batch(members, k, mine, ((place[group[mine]] - begin) * k + first[mine]) * k + second[mine])
