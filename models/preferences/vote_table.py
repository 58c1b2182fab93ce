"""Rankings as flat arrays, for everything that is computed from many of them. Loads no torch."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from models.errors import DataError
from models.records import Ranking
from models.shapes import Float, Int, Real

Name = tuple[str, str, str]  # prompt, criterion, completion
Indices = TypeVar("Indices", int, Int[np.ndarray, " N"])


class VoteTable:
    """Rankings as flat arrays, in an order that does not depend on the order of the input.

    Groups, all sorted by question: a *question* (Q of them) is one prompt by one criterion, with completions that were compared
    with each other, directly or through others (those of two batches of one prompt never were: they make two questions); a *voter*
    (V) is one labeler in one question, an *item* (I) one completion in a question, a *voice* (W) one voter on one item. R rankings,
    and in them:

    - an *entry* (E) is one completion in one ranking; entries are sorted by ranking. `level` counts from 1 for best, and those
      marked unusable come last together; `place` is 0 for best and 1 for last, ties share their mean.
    - a *comparison* (M) is two entries of one ranking, the one with the smaller item first; comparisons are sorted by the two items
      and then by ranking. `sign` is 1 if the first is above the second, -1 if below, 0 if tied.

    A labeler may have several rankings of one question: people who are shown two or five of twenty completions at a time see several
    sets, which may overlap. Raises DataError naming prompt, labeler and criterion where a labeler ranked the same set twice in one
    session.
    """

    def __init__(self, rankings: Sequence[Ranking]):
        _refuse_repeated(rankings)
        lead = _lead_of_group(rankings)
        ordered = sorted(rankings, key=lambda one: (one.prompt_id, one.criterion, lead[_first_name(one)], *_said(one)))
        self.num_rankings = len(ordered)
        self.labelers = sorted({one.labeler for one in ordered})
        number = {name: index for index, name in enumerate(self.labelers)}
        self.questions: list[tuple[str, str]] = []
        self.labeler = np.fromiter((number[one.labeler] for one in ordered), np.int64, len(ordered))
        leads = (lead[_first_name(one)] for one in ordered)
        self.question = np.fromiter(self._question_numbers(ordered, leads), np.int64, len(ordered))
        _, first_of_voter, self.voter = np.unique(
            self.question * len(self.labelers) + self.labeler, return_index=True, return_inverse=True
        )
        self.voter_labeler, self.voter_question = self.labeler[first_of_voter], self.question[first_of_voter]
        self.num_voters = np.bincount(self.voter_question, minlength=len(self.questions))
        self._collect_entries(ordered)
        self._collect_comparisons()

    def _question_numbers(self, ordered: list[Ranking], leads: Iterable[Name]) -> list[int]:
        numbers, before = [], None
        for one, lead in zip(ordered, leads, strict=True):
            if (one.prompt_id, one.criterion, lead) != before:
                before = one.prompt_id, one.criterion, lead
                self.questions.append((one.prompt_id, one.criterion))
            numbers.append(len(self.questions) - 1)
        return numbers

    def _collect_entries(self, ordered: list[Ranking]) -> None:
        names: list[str] = []
        level_sizes, num_levels = [], []
        for one in ordered:
            for named_level in (*one.levels, one.unusable):
                names.extend(named_level)
                level_sizes.append(len(named_level))
            num_levels.append(len(one.levels) + 1)
        known = sorted(set(names))
        code = {name: number for number, name in enumerate(known)}
        coded = np.fromiter(map(code.__getitem__, names), np.int64, len(names))
        last = np.array(num_levels, dtype=np.int64)  # the level of those marked unusable
        ranking = np.repeat(np.repeat(np.arange(len(ordered)), last), level_sizes)
        level = np.repeat(_count_within(last) + 1, level_sizes)
        key, item = np.unique(self.question[ranking] * max(len(known), 1) + coded, return_inverse=True)
        by_item = np.lexsort((item, ranking))
        self.entry_ranking, self.entry_item, self.level = ranking[by_item], item[by_item], level[by_item]
        self.entry_unusable: np.ndarray = np.equal(self.level, last[self.entry_ranking])
        voice, self.entry_voice = np.unique(
            self.voter[self.entry_ranking] * len(key) + self.entry_item, return_inverse=True
        )
        self.voice_voter, self.voice_item = np.divmod(voice, max(len(key), 1))
        self.num_entries = np.bincount(self.entry_ranking, minlength=len(ordered))
        self.item_names = [known[number] for number in (key % max(len(known), 1)).tolist()]
        self.item_question = key // max(len(known), 1)
        self.num_items = np.bincount(self.item_question, minlength=len(self.questions))
        self.item_start = starts_of(self.num_items)
        self.num_pairs = self.num_items * (self.num_items - 1) // 2
        self.pair_start = starts_of(self.num_pairs)
        named = np.bincount(self.entry_item, minlength=len(key))
        self.item_variance = 2 * np.bincount(self.entry_item, self.num_entries[self.entry_ranking], len(key)) / named

    def _collect_comparisons(self) -> None:
        first, second = pairs_within(self.num_entries)
        of_pair = self.entry_item[first] * len(self.item_names) + self.entry_item[second]
        by_pair = np.argsort(of_pair, kind="stable")
        self.first, self.second = first[by_pair], second[by_pair]
        self.ranking = self.entry_ranking[self.first]
        self.first_item, self.second_item = self.entry_item[self.first], self.entry_item[self.second]
        self.sign = np.sign(self.level[self.second] - self.level[self.first])

        below = np.bincount(self.first, (1 - self.sign) / 2, len(self.entry_item))
        below += np.bincount(self.second, (1 + self.sign) / 2, len(self.entry_item))
        self.place = below / np.maximum(self.num_entries[self.entry_ranking] - 1, 1)

    def voice_mean(self, values: Real[np.ndarray, " E"]) -> Float[np.ndarray, " W"]:
        """What a labeler says of an item: the mean over its entries, of which there are several where several rankings name it."""
        return np.bincount(self.entry_voice, values) / np.bincount(self.entry_voice)


def _refuse_repeated(rankings: Sequence[Ranking]) -> None:
    by_voter: dict[tuple[str, str, str, str], list[Ranking]] = {}
    for one in rankings:
        by_voter.setdefault((one.prompt_id, one.labeler, one.criterion, one.session), []).append(one)
    for (prompt_id, labeler, criterion, _), own in by_voter.items():
        if len(own) > 1 and len({frozenset(one.places) for one in own}) < len(own):
            raise DataError(
                f"prompt {prompt_id}: labeler {labeler} ranked the same completions twice by {criterion}; "
                "name the sessions, or keep the ranking that counts"
            )


def _said(one: Ranking) -> tuple:
    return one.labeler, one.session, one.levels, one.unusable


def _first_name(one: Ranking) -> Name:
    """A completion of a ranking, with the question that it is judged by."""
    return one.prompt_id, one.criterion, one.levels[0][0] if one.levels else one.unusable[0]


def _lead_of_group(rankings: Sequence[Ranking]) -> dict[Name, Name]:
    """For each completion, the first by name of those that it was compared with, directly or through others."""
    group: dict[Name, list[Name]] = {}
    for one in rankings:
        mine: list[Name] | None = None
        for level in (*one.levels, one.unusable):
            for completion in level:
                name = one.prompt_id, one.criterion, completion
                other = group.get(name)
                if mine is None:
                    mine = group.setdefault(name, [name])
                elif other is None:
                    mine.append(name)
                    group[name] = mine
                elif other is not mine:
                    mine.extend(other)
                    group |= dict.fromkeys(other, mine)
    least = {id(members): min(members) for members in group.values()}
    return {name: least[id(members)] for name, members in group.items()}


def starts_of(sizes: Int[np.ndarray, " G"]) -> Int[np.ndarray, " G"]:
    """Where each group begins when groups of these sizes stand one behind the other."""
    return np.cumsum(sizes) - sizes


def _count_within(sizes: Int[np.ndarray, " G"]) -> Int[np.ndarray, " N"]:
    """0, 1, … within each group: sizes 2, 3 give 0 1 0 1 2."""
    return np.arange(sizes.sum()) - np.repeat(starts_of(sizes), sizes)


def ranges(starts: Int[np.ndarray, " G"], sizes: Int[np.ndarray, " G"]) -> Int[np.ndarray, " N"]:
    """start, start + 1, … of each group: starts 7, 3 and sizes 2, 3 give 7 8 3 4 5."""
    return np.repeat(starts, sizes) + _count_within(sizes)


def pairs_within(sizes: Int[np.ndarray, " G"]) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """Every two members of each group, as numbers over all groups: size 3 gives (0, 1), (0, 2), (1, 2), the next goes on at 3."""
    behind = (
        np.repeat(starts_of(sizes) + sizes, sizes) - np.arange(sizes.sum()) - 1
    )  # members after this one in its group
    first = np.repeat(np.arange(len(behind)), behind)
    return first, first + 1 + _count_within(behind)


def pair_place(first: Indices, second: Indices, size: Indices) -> Indices:
    """The place of members first < second of a group of `size` among its pairs, in the order of `pairs_within`."""
    return first * (2 * size - first - 1) // 2 + second - first - 1
