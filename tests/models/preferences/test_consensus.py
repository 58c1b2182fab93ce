"""Consensus: hand-worked orders, who is trusted, and what must not matter."""

import math
from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest

from models.errors import DataError
from models.preferences.agreement import mean_tau_b
from models.preferences.consensus import agree, pair_probability
from models.records import Ranking
from models.settings.pipeline import ConsensusConfig

BORDA = ConsensusConfig(method="borda")
BRADLEY_TERRY = ConsensusConfig(method="bradley_terry")
METHODS = pytest.mark.parametrize("config", [BORDA, BRADLEY_TERRY], ids=lambda config: config.method)


def ranking(labeler: str, *levels: str, prompt: str = "p", unusable: str = "") -> Ranking:
    """Levels as texts of one-letter completion ids: ranking("ann", "ab", "c") ties a and b above c."""
    return Ranking.of(prompt, labeler, "helpful", levels, unusable)


def one(rankings, config):
    agreed, _ = agree(rankings, config)
    assert len(agreed) == 1
    return agreed[0]


def labelers(report) -> dict:
    return {one.labeler: one for one in report.labelers}


# --- small cases -----------------------------------------------------------------------------------------------------


def test_borda_by_hand():
    agreed = one([ranking("ann", "a", "b", "c"), ranking("bob", "b", "a", "c"), ranking("cem", "b", "ac")], BORDA)
    # Shares of comparisons won (1 - mean place): a (1 + 1/2 + 1/4) / 3, b (1/2 + 1 + 1) / 3, c (0 + 0 + 1/4) / 3.
    # Strength: half the log-odds of (3 share + 1/2) / 4: a 2.25/4, b 3/4, c .75/4.
    assert agreed.strengths == pytest.approx(
        {"a": math.log(2.25 / 1.75) / 2, "b": math.log(3 / 1) / 2, "c": math.log(0.75 / 3.25) / 2}, abs=1e-8
    )
    # b above a: 2 of 3 labelers, more than .6; a above c: 2.5 of 3; b above c: 3 of 3.
    assert agreed.levels == (("b",), ("a",), ("c",))
    assert agreed.confidence == pytest.approx((2 / 3 + 2.5 / 3 + 1) / 3, abs=1e-9)
    assert agreed.num_labelers == 3


def test_tie_width_decides_when_a_level_ends():
    rankings = [ranking("ann", "a", "b"), ranking("bob", "b", "a"), ranking("cem", "a", "b")]  # p = 2/3
    assert one(rankings, ConsensusConfig(method="borda", tie_width=0.16)).levels == (("a",), ("b",))
    assert one(rankings, ConsensusConfig(method="borda", tie_width=0.17)).levels == (("a", "b"),)


def test_a_level_is_measured_from_its_first_member():
    # Five labelers: 3 put a above b, 3 put b above c, and 4 put a above c. With tie_width .15 (p over .65), neighbours tie,
    # a and c do not: c starts a new level although it ties with b.
    rankings = [
        ranking("1", "a", "b", "c"),
        ranking("2", "a", "b", "c"),
        ranking("3", "a", "c", "b"),
        ranking("4", "b", "a", "c"),
        ranking("5", "c", "b", "a"),
    ]
    # a over b: 1 2 3 -> .6; b over c: 1 2 4 -> .6 (5 and 3 against); a over c: 1 2 3 4 -> .8
    assert one(rankings, ConsensusConfig(method="borda", tie_width=0.15)).levels == (("a", "b"), ("c",))


def test_borda_probability_of_two_completions_is_the_smoothed_share():
    agreed = one([ranking("1", "a", "b"), ranking("2", "a", "b"), ranking("3", "b", "a")], BORDA)
    assert pair_probability(agreed, "a", "b") == pytest.approx(2.5 / 4, abs=1e-8)  # (2 + 1/2) / (3 + 1)
    assert pair_probability(agreed, "b", "a") == pytest.approx(1.5 / 4, abs=1e-8)
    with pytest.raises(DataError, match="prompt p: its consensus knows no completion z"):
        pair_probability(agreed, "a", "z")


def test_bradley_terry_of_one_labeler_solves_its_own_equation():
    agreed = one([ranking("ann", "a", "b")], BRADLEY_TERRY)
    # weight 2/K = 1, prior variance 2K = 4: theta = +-d/2 with 1 - sigmoid(d) = d / 8, found here by bisection
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (1 + math.exp(middle)) > middle / 8 else (low, middle)
    assert agreed.strengths == pytest.approx({"a": low / 2, "b": -low / 2}, abs=2e-6)
    assert agreed.confidence == pytest.approx(1 / (1 + math.exp(-low)), abs=1e-5)
    assert pair_probability(agreed, "a", "b") == pytest.approx(agreed.confidence)


@METHODS
@pytest.mark.parametrize("size", range(2, 10))
def test_one_labelers_strict_ranking_stays_strict(config, size):
    ids = "abcdefghi"[:size]
    agreed, report = agree([ranking("ann", *reversed(ids))], config)
    assert agreed[0].levels == tuple((name,) for name in reversed(ids))
    assert labelers(report)["ann"].reliability == 1
    assert report.krippendorff_alpha is None
    assert report.mean_tau_b is None


@METHODS
def test_all_tied(config):
    agreed, report = agree([ranking("ann", "abc"), ranking("bob", "abc")], config)
    assert agreed[0].levels == (("a", "b", "c"),)
    assert agreed[0].confidence == 0.5
    assert set(agreed[0].strengths.values()) == {0.0}
    assert labelers(report)["ann"].tie_rate == 1
    assert labelers(report)["ann"].agreement is None


@METHODS
def test_two_labelers_who_contradict_each_other_everywhere_leave_no_order(config):
    # Nobody can say which of the two is right: believing one of them would be a toss-up.
    rankings = [ranking("ann", "a", "b", "c", prompt=f"p{number}") for number in range(30)]
    rankings += [ranking("bob", "c", "b", "a", prompt=f"p{number}") for number in range(30)]
    agreed, report = agree(rankings, config)
    assert {one.levels for one in agreed} == {(("a", "b", "c"),)}
    assert labelers(report)["ann"].reliability == pytest.approx(labelers(report)["bob"].reliability, abs=1e-3)
    assert labelers(report)["ann"].reliability < 0.2


@METHODS
def test_partial_rankings_are_joined(config):
    # Nobody saw a and d together; each chain of two is told by three labelers.
    rankings = [ranking(f"{x}{y}{n}", x, y) for x, y in ("ab", "bc", "cd") for n in range(3)]
    rankings += [ranking(f"all{n}", "a", "b", "c", "d") for n in range(2)]
    agreed = one(rankings, config)
    assert agreed.levels == (("a",), ("b",), ("c",), ("d",))
    assert agreed.num_labelers == 11


def test_borda_knows_nothing_of_two_completions_that_nobody_saw_together():
    agreed = one([ranking("ann", "a", "b"), ranking("bob", "a", "c")], BORDA)
    assert agreed.levels == (("a",), ("b", "c"))
    assert agreed.confidence == pytest.approx((1 + 1 + 0.5) / 3)


@METHODS
def test_a_lone_completion(config):
    agreed = one([ranking("ann", "a")], config)
    assert (agreed.levels, agreed.confidence) == ((("a",),), 0.5)


@METHODS
def test_unusable_takes_more_than_half(config):
    half = [ranking("ann", "a", "b", unusable="c"), ranking("bob", "c", "a", "b")]
    assert one(half, config).unusable == ()
    most = one([*half, ranking("cem", "b", "a", unusable="c")], config)
    assert most.unusable == ("c",)
    assert {name for level in most.levels for name in level} == {"a", "b"}
    assert set(most.strengths) == {"a", "b", "c"}


@METHODS
def test_all_unusable_leaves_no_level(config):
    agreed = one([ranking("ann", unusable="ab")], config)
    assert (agreed.levels, agreed.unusable) == ((), ("a", "b"))


def test_the_unusable_vote_weighs_reliability():
    # dan and eve rank at random against the three who agree on 40 prompts; on the last one, they outvote ann by heads.
    rng = np.random.default_rng(1)
    rankings = []
    for number in range(40):
        rankings += [ranking(name, "a", "b", "c", "d", prompt=f"p{number:02}") for name in ("ann", "bob", "cem")]
        rankings += [ranking(name, *rng.permutation(list("abcd")), prompt=f"p{number:02}") for name in ("dan", "eve")]
    rankings.append(ranking("ann", "c", "a", "b", prompt="q"))
    rankings += [ranking(name, "a", "b", prompt="q", unusable="c") for name in ("dan", "eve")]
    assert agree(rankings, BORDA)[0][-1].unusable == ("c",)
    assert agree(rankings, BRADLEY_TERRY)[0][-1].unusable == ()


def test_rates_count_ties_of_usable_completions_and_marks():
    _, report = agree([ranking("ann", "ab", "c", unusable="de"), ranking("ann", "f", "g", prompt="q")], BRADLEY_TERRY)
    ann = labelers(report)["ann"]
    assert ann.tie_rate == pytest.approx(1 / 4)  # of ab ac bc and fg, one is a tie; d and e are not compared by taste
    assert ann.unusable_rate == pytest.approx(2 / 7)
    assert (ann.num_rankings, report.num_rankings, report.num_prompts) == (2, 2, 2)


def test_alpha_is_over_places():
    _, report = agree([ranking("ann", "a", "b"), ranking("bob", "a", "b"), ranking("bob", "x", "y", prompt="q")], BORDA)
    assert report.krippendorff_alpha == pytest.approx(1)
    assert report.mean_tau_b == pytest.approx(1)
    _, report = agree([ranking("ann", "a", "b"), ranking("bob", "b", "a")], BORDA)
    # two units, each (0, 1): o01 = o10 = 2, so D_o = 4 d^2; n = 4, n0 = n1 = 2, so D_e = 8 d^2 / 3; 1 - 3/2
    assert report.krippendorff_alpha == pytest.approx(-0.5)
    assert report.mean_tau_b == pytest.approx(-1)


def test_criteria_stay_apart():
    rankings = [ranking("ann", "a", "b"), Ranking.of("p", "ann", "safe", ["b", "a"])]
    agreed, report = agree(rankings, BRADLEY_TERRY)
    assert [(one.criterion, one.levels) for one in agreed] == [
        ("helpful", (("a",), ("b",))),
        ("safe", (("b",), ("a",))),
    ]
    assert (report.num_prompts, report.num_rankings) == (1, 2)


@METHODS
def test_refusals(config):
    with pytest.raises(DataError, match="no rankings"):
        agree([], config)
    with pytest.raises(DataError, match="prompt p: labeler ann ranked the same completions twice by helpful"):
        agree([ranking("ann", "a", "b"), ranking("bob", "a", "b"), ranking("ann", "b", "a")], config)


@METHODS
def test_overlapping_sets_of_one_labeler_all_count(config):
    """Two of ann's three comparisons of a and b say a; bob, who saw them once, says b. She is one labeler of the two."""
    said = [
        ranking("ann", "a", "b", "c"),
        ranking("ann", "a", "b", "d"),
        ranking("ann", "b", "a"),
        ranking("bob", "b", "a"),
    ]
    (agreed,), report = agree(said, config)
    assert set(agreed.strengths) == {"a", "b", "c", "d"} and agreed.num_labelers == 2
    assert [one.num_rankings for one in report.labelers] == [3, 1]
    assert agree(said[::-1], config) == ([agreed], report)


def test_nobody_agrees_with_themselves():
    """Ann says the same of a and b twice, bob the opposite: tau-b of the two is -1, whatever she repeats."""
    said = [ranking("ann", "a", "b", "c"), ranking("ann", "a", "b"), ranking("bob", "b", "a")]
    assert mean_tau_b(said) == -1


# --- a simulated crowd -----------------------------------------------------------------------------------------------


def crowd(seed: int) -> tuple[np.ndarray, list[Ranking]]:
    """True strengths [200, 5] and three rankings of each prompt by 20 labelers: 00-02 upside down, 03-05 at random."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(200, 5))
    rankings = []
    for prompt in range(200):
        for labeler in rng.choice(20, 3, replace=False):
            seen = (-1 if labeler < 3 else 0 if labeler < 6 else 1) * truth[prompt] + rng.normal(scale=0.5, size=5)
            order = [f"c{prompt}-{index}" for index in np.argsort(-seen)]
            rankings.append(Ranking.of(f"p{prompt}", f"{labeler:02}", "helpful", [[name] for name in order]))
    return truth, rankings


def share_right(truth: np.ndarray, agreed) -> float:
    right = []
    for consensus in agreed:
        prompt = int(consensus.prompt_id[1:])
        strengths = [consensus.strengths[f"c{prompt}-{index}"] for index in range(5)]
        for i, j in combinations(range(5), 2):
            gap = (strengths[i] - strengths[j]) * (truth[prompt, i] - truth[prompt, j])
            right.append(0.5 if gap == 0 else gap > 0)
    return float(np.mean(right))


@pytest.mark.parametrize("seed", range(5))
def test_careless_labelers_lose_weight(seed):
    truth, rankings = crowd(seed)
    borda, _ = agree(rankings, BORDA)
    weighted, report = agree(rankings, BRADLEY_TERRY)
    assert share_right(truth, weighted) > share_right(truth, borda) + 0.05
    people = labelers(report)
    assert [name for name in sorted(people) if people[name].upside_down] == ["00", "01", "02"]
    least = min(person.reliability for person in people.values())
    assert all(people[name].reliability == least for name in ("00", "01", "02"))
    careless = max(people[f"{number:02}"].reliability for number in range(6))
    honest = min(people[f"{number:02}"].reliability for number in range(6, 20))
    assert careless < 0.2 < 0.4 < honest
    assert all(0 <= person.reliability <= 1 for person in people.values())


def test_an_upside_down_labeler_is_not_inverted():
    # dan reverses what the others say, and alone ranks q: taken at his word without weight, q has no order.
    rankings = [
        ranking(name, *("abcd" if name != "dan" else "dcba"), prompt=f"p{number:02}")
        for number in range(40)
        for name in ("ann", "bob", "cem", "dan")
    ]
    agreed, report = agree([*rankings, ranking("dan", "a", "b", prompt="q", unusable="c")], BRADLEY_TERRY)
    assert labelers(report)["dan"].reliability == 0
    assert labelers(report)["dan"].upside_down
    assert agreed[-1].strengths["a"] >= agreed[-1].strengths["b"]
    assert agreed[-1].unusable == ("c",)  # no one with weight saw c: heads count
    assert agreed[-1].levels == (("a", "b"),)


@METHODS
def test_the_order_of_the_input_changes_nothing(config):
    _, rankings = crowd(9)
    shuffled = [rankings[index] for index in np.random.default_rng(0).permutation(len(rankings))]
    assert agree(shuffled, config) == agree(rankings, config)


@METHODS
def test_the_names_of_completions_change_nothing(config):
    _, rankings = crowd(9)
    rename = defaultdict(lambda: f"z{len(rename):04}")
    for name in sorted({name for one in rankings for name in one.places}, key=lambda name: name[::-1]):
        rename[name]
    renamed = [
        Ranking.of(
            one.prompt_id, one.labeler, one.criterion, [[rename[name] for name in level] for level in one.levels]
        )
        for one in rankings
    ]
    for was, now in zip(agree(rankings, config)[0], agree(renamed, config)[0], strict=True):
        assert now.strengths == pytest.approx({rename[name]: value for name, value in was.strengths.items()}, abs=2e-3)
