"""The table of rankings: what stands where, and what one labeler may say about one prompt."""

from itertools import combinations

import numpy as np
import pytest

from models.errors import DataError
from models.preferences.vote_table import VoteTable, pair_place, pairs_within, ranges
from models.records import Ranking


def ranking(labeler: str, *levels: str, prompt: str = "p", unusable: str = "") -> Ranking:
    """Levels as texts of one-letter completion ids: ranking("ann", "ab", "c") ties a and b above c."""
    return Ranking.of(prompt, labeler, "helpful", levels, unusable)


def test_places_and_comparisons_by_hand():
    votes = VoteTable(
        [ranking("bob", "y", "x", prompt="q"), ranking("bob", "c", "ab"), ranking("ann", "b", "a", unusable="c")]
    )
    assert (votes.labelers, votes.questions) == (["ann", "bob"], [("p", "helpful"), ("q", "helpful")])
    assert votes.item_names == ["a", "b", "c", "x", "y"]
    assert votes.num_voters.tolist() == [2, 1]
    # entries by ranking: ann a b c, bob a b c, bob x y
    assert votes.place.tolist() == [0.5, 0, 1, 0.75, 0.75, 0, 1, 0]
    assert votes.entry_unusable.tolist() == [False, False, True] + [False] * 5
    # comparisons by items: ab (ann, bob), ac (ann, bob), bc (ann, bob), xy
    assert votes.first_item.tolist() == [0, 0, 0, 0, 1, 1, 3]
    assert votes.second_item.tolist() == [1, 1, 2, 2, 2, 2, 4]
    assert votes.ranking.tolist() == [0, 1, 0, 1, 0, 1, 2]
    assert votes.sign.tolist() == [-1, 0, 1, -1, 1, -1, -1]


def test_the_order_of_the_rankings_changes_nothing():
    rankings = [
        ranking("ann", "a", "b"),
        ranking("ann", "c", "a"),
        ranking("bob", "b", "ac"),
        ranking("ann", "x", prompt="q"),
    ]
    one, other = vars(VoteTable(rankings)), vars(VoteTable(rankings[::-1]))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_one_labeler_may_rank_a_prompt_in_several_parts():
    votes = VoteTable([ranking("ann", "a", "b"), ranking("ann", "c", "a"), ranking("ann", "d", unusable="e")])
    assert votes.questions == [("p", "helpful")] * 2, "nobody compared d or e with the others"
    assert votes.num_voters.tolist() == [1, 1]
    assert votes.num_rankings == 3
    # of a: first, then last; the others stand in one ranking each
    assert votes.voice_mean(votes.place).tolist() == [0.5, 1, 0, 0, 1]


@pytest.mark.parametrize(
    "second",
    [
        ranking("ann", "b", "a", "c"),
        ranking("ann", "b", "c", unusable="a"),
        ranking("ann", "abc"),
        ranking("ann", unusable="abc"),
    ],
)
def test_no_labeler_ranks_the_same_completions_twice_in_one_session(second):
    rest = [ranking("bob", "a", "b", "c"), ranking("ann", "a", "b", "c", prompt="q")]
    with pytest.raises(DataError, match=r"prompt p: labeler ann ranked the same completions twice by helpful; name"):
        VoteTable([ranking("ann", "a", "b", "c"), *rest, second])
    later = Ranking.of("p", "ann", "helpful", second.levels, second.unusable, session="later")
    votes = VoteTable([ranking("ann", "a", "b", "c"), *rest, later])
    assert (votes.num_rankings, votes.labelers, len(votes.voter_labeler)) == (4, ["ann", "bob"], 3)


def test_sets_of_one_labeler_may_overlap():
    """Five of twenty systems at a time: a and b meet twice."""
    votes = VoteTable([ranking("ann", "a", "b", "c"), ranking("ann", "b", "a"), ranking("bob", "a", "b")])
    assert len(votes.questions) == 1 and len(votes.voter_labeler) == 2
    meetings = [
        votes.sign[i]
        for i in range(len(votes.sign))
        if {votes.item_names[votes.first_item[i]], votes.item_names[votes.second_item[i]]} == {"a", "b"}
    ]
    assert sorted(meetings) == [-1, 1, 1]


def test_pairs_within_groups_are_those_of_combinations():
    first, second = pairs_within(np.array([3, 1, 0, 4]))
    expected = [*combinations(range(3), 2), *combinations(range(4, 8), 2)]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    for size in (2, 3, 7):
        assert [pair_place(i, j, size) for i, j in combinations(range(size), 2)] == list(range(size * (size - 1) // 2))


def test_ranges():
    assert ranges(np.array([7, 1, 3]), np.array([2, 0, 3])).tolist() == [7, 8, 3, 4, 5]
