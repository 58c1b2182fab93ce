"""Consensus where a labeler ranks one prompt in several parts, as people do who are shown two completions at a time."""

import math

import pytest

from models.preferences.consensus import agree, pair_probability
from models.records import Ranking
from models.settings.pipeline import ConsensusConfig

BORDA = ConsensusConfig(method="borda")
BRADLEY_TERRY = ConsensusConfig(method="bradley_terry")
METHODS = pytest.mark.parametrize("config", [BORDA, BRADLEY_TERRY], ids=lambda config: config.method)


def ranking(labeler: str, *levels: str, prompt: str = "p", unusable: str = "") -> Ranking:
    """Levels as texts of one-letter completion ids: ranking("ann", "ab", "c") ties a and b above c."""
    return Ranking.of(prompt, labeler, "helpful", levels, unusable)


@METHODS
def test_parts_are_joined_and_their_labeler_counts_once(config):
    agreed, report = agree([ranking("ann", "a", "b"), ranking("ann", "b", "c"), ranking("bob", "a", "b", "c")], config)
    assert agreed[0].levels == (("a",), ("b",), ("c",))
    assert agreed[0].num_labelers == 2
    assert (report.num_rankings, report.num_prompts) == (3, 1)
    assert [(one.labeler, one.num_rankings) for one in report.labelers] == [("ann", 2), ("bob", 1)]


@METHODS
def test_a_labelers_own_rankings_are_not_the_others(config):
    agreed, report = agree([ranking("ann", "a", "b"), ranking("ann", "b", "c"), ranking("ann", "c", "a")], config)
    assert agreed[0].num_labelers == 1
    assert (report.mean_tau_b, report.krippendorff_alpha) == (None, None)
    assert (report.labelers[0].agreement, report.labelers[0].reliability) == (None, 1)


def test_two_labelers_are_compared_once_however_many_parts():
    # ann has bc and ab as bob has them, ac reversed: two concordant, one discordant, tau-b (2 - 1) / 3.
    # cem agrees with bob on ab alone, which is all both compared, and with ann: 1 and 1.
    rankings = [ranking("ann", "a", "b"), ranking("ann", "b", "c"), ranking("ann", "c", "a")]
    _, report = agree([*rankings, ranking("bob", "a", "b", "c"), ranking("cem", "a", "b")], BORDA)
    assert report.mean_tau_b == pytest.approx((1 / 3 + 1 + 1) / 3)


def test_agreement_is_with_what_the_others_said():
    # ann: ab as bob has it (+1), cd against (-1), and de, of which nobody else knows e.
    rankings = [ranking("ann", "a", "b"), ranking("ann", "d", "c"), ranking("ann", "d", "e")]
    _, report = agree([*rankings, ranking("bob", "a", "b", "c", "d")], BORDA)
    assert report.labelers[0].agreement == pytest.approx((1 - 1) / 2)


def test_alpha_takes_one_place_per_labeler_and_completion():
    # ann's places: a 0, b (1 + 0) / 2, c 1; bob's are the same: nothing is against chance but everything for it.
    _, report = agree([ranking("ann", "a", "b"), ranking("ann", "b", "c"), ranking("bob", "a", "b", "c")], BORDA)
    assert report.krippendorff_alpha == pytest.approx(1)


def test_borda_counts_a_labeler_once_per_completion():
    agreed, _ = agree([ranking("ann", "a", "b"), ranking("ann", "a", "c"), ranking("bob", "b", "a")], BORDA)
    # a: ann 1, bob 0 of 2, so log-odds of (1 + 1/2) / 3; b: ann 0, bob 1; c: ann 0 of 1, (0 + 1/2) / 2
    assert agreed[0].strengths == pytest.approx({"a": 0, "b": 0, "c": math.log(0.25 / 0.75) / 2}, abs=1e-8)


@METHODS
def test_a_mark_counts_once_however_often_it_is_made(config):
    # One of two labelers marks c, in two of its rankings: that is half, and unusable takes more.
    rankings = [ranking("ann", "a", unusable="c"), ranking("ann", "b", unusable="c"), ranking("bob", "c", "a", "b")]
    agreed, report = agree(rankings, config)
    assert agreed[0].unusable == ()
    assert report.labelers[0].unusable_rate == pytest.approx(2 / 4)


def test_apart_from_each_other_two_pairs_are_as_certain_as_alone():
    # Of one prompt, a and b were compared, and c and d: nothing joins them, and each pair has the p it would have by itself.
    alone, _ = agree([ranking("ann", "a", "b")], BRADLEY_TERRY)
    both, _ = agree([ranking("ann", "a", "b"), ranking("ann", "c", "d")], BRADLEY_TERRY)
    assert pair_probability(both[0], "a", "b") == pytest.approx(pair_probability(alone[0], "a", "b"), abs=1e-6)
    assert pair_probability(both[1], "c", "d") == pytest.approx(pair_probability(alone[0], "a", "b"), abs=1e-6)


@METHODS
def test_completions_that_nothing_joins_have_no_order(config):
    old = [ranking(name, "a", "b") for name in ("ann", "bob")]
    new = [ranking("ann", "c", "d"), ranking("cem", "d", "e")]
    agreed, report = agree(old + new, config)
    assert [set(one.strengths) for one in agreed] == [set("ab"), set("cde")]
    assert [one.num_labelers for one in agreed] == [2, 2]
    assert (report.num_prompts, report.num_rankings) == (1, 4)
    joined, _ = agree([*old, *new, ranking("dora", "b", "e")], config)
    assert [set(one.strengths) for one in joined] == [set("abcde")]
