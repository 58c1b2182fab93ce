"""Pairs from agreed orders: the worked example, ties, unusable completions, weights, and what was left out."""

import math

import pytest

from models.errors import DataError
from models.preferences.pairs import MIN_WEIGHT, PairReport, make_own_pairs, make_pairs
from models.records import Completion, Consensus, Ranking
from models.settings.pipeline import PairsConfig

TEXTS = ("first", "second", "third", "fourth")
COMPLETIONS = [Completion(id=f"c_{n}", prompt_id="p", text=text, ended=True) for n, text in enumerate(TEXTS)]
FIRST, SECOND, THIRD, FOURTH = (one.id for one in COMPLETIONS)


def agreed(*levels: tuple[str, ...], unusable: tuple[str, ...] = (), **strengths: float) -> Consensus:
    names = [name for level in levels for name in level] + list(unusable)
    known = {one.id: strengths.get(one.text, 0.0) for one in COMPLETIONS}
    return Consensus(
        prompt_id="p",
        criterion="helpful",
        levels=levels,
        unusable=unusable,
        strengths={name: known[name] for name in names},
        confidence=0.7,
        num_labelers=2,
    )


def names(pairs) -> list[tuple[str, str]]:
    return [(pair.chosen, pair.rejected) for pair in pairs]


def test_the_worked_example_three_completions_ranked_2_1_3():
    pairs, report = make_pairs([agreed((SECOND,), (FIRST,), (THIRD,))], COMPLETIONS, PairsConfig())
    assert names(pairs) == [(SECOND, FIRST), (FIRST, THIRD), (SECOND, THIRD)]
    assert [(pair.label, pair.weight) for pair in pairs] == [(1, 1)] * 3
    assert report == PairReport(num_pairs=3)


def test_pair_order_does_not_depend_on_the_order_of_the_completions_given():
    order = agreed((THIRD,), (FOURTH,), (FIRST,), (SECOND,))
    pairs, _ = make_pairs([order], COMPLETIONS[::-1], PairsConfig())
    assert names(pairs) == [
        (FIRST, SECOND),
        (THIRD, FIRST),
        (FOURTH, FIRST),
        (THIRD, SECOND),
        (FOURTH, SECOND),
        (THIRD, FOURTH),
    ]


def test_ties_are_soft_or_dropped_and_counted():
    order = agreed((THIRD,), (FIRST, SECOND))
    pairs, report = make_pairs([order], COMPLETIONS, PairsConfig(ties="soft"))
    assert [(pair.chosen, pair.rejected, pair.label) for pair in pairs] == [
        (FIRST, SECOND, 0.5),
        (THIRD, FIRST, 1),
        (THIRD, SECOND, 1),
    ]
    assert report == PairReport(num_pairs=3, num_ties=1)
    pairs, report = make_pairs([order], COMPLETIONS, PairsConfig(ties="drop"))
    assert names(pairs) == [(THIRD, FIRST), (THIRD, SECOND)]
    assert report == PairReport(num_pairs=2, num_dropped_ties=1)


def test_unusable_completions_lose_or_are_dropped_and_counted():
    order = agreed((THIRD,), (SECOND,), unusable=(FIRST, FOURTH))
    pairs, report = make_pairs([order], COMPLETIONS, PairsConfig())
    assert names(pairs) == [(SECOND, FIRST), (THIRD, FIRST), (THIRD, SECOND), (SECOND, FOURTH), (THIRD, FOURTH)]
    assert all(pair.label == 1 for pair in pairs)
    assert report == PairReport(num_pairs=5, num_unusable=4, num_both_unusable=1)
    pairs, report = make_pairs([order], COMPLETIONS, PairsConfig(unusable="drop"))
    assert names(pairs) == [(THIRD, SECOND)]
    assert report == PairReport(num_pairs=1, num_dropped_unusable=4, num_both_unusable=1)


@pytest.mark.parametrize("name", ["a", "z"])  # before or behind its twin
def test_identical_texts_make_no_pair(name):
    twin = Completion(id=name, prompt_id="p", text=" first\n", ended=True)
    order = Consensus(
        prompt_id="p",
        criterion="helpful",
        levels=((FIRST,), (SECOND,), (twin.id,)),
        strengths={FIRST: 1.0, SECOND: 0.0, twin.id: -1.0},
        confidence=0.8,
        num_labelers=1,
    )
    pairs, report = make_pairs([order], [*COMPLETIONS, twin], PairsConfig())
    assert set(names(pairs)) == {(FIRST, SECOND), (SECOND, twin.id)}
    assert report == PairReport(num_pairs=2, num_identical=1)


def test_confidence_weights():
    # p(third above first) = sigmoid(log 3) = 3/4: weight 1/2. p(third above second) = sigmoid(log 4) = 4/5: weight 3/5.
    # second is unusable but as strong as fourth would be: first beats it with sigmoid(log 4/3) = 4/7: weight 1/7.
    order = agreed((THIRD,), (FIRST,), unusable=(SECOND,), third=math.log(3), first=0.0, second=-math.log(4 / 3))
    pairs, _ = make_pairs([order], COMPLETIONS, PairsConfig(weight="confidence"))
    assert {(pair.chosen, pair.rejected): pytest.approx(pair.weight, abs=1e-9) for pair in pairs} == {
        (FIRST, SECOND): 1 / 7,
        (THIRD, FIRST): 1 / 2,
        (THIRD, SECOND): 3 / 5,
    }


def test_confidence_weight_of_ties_and_its_floor():
    tie = agreed((FIRST, SECOND), first=0.3)
    pairs, _ = make_pairs([tie], COMPLETIONS, PairsConfig(weight="confidence"))
    assert pairs[0].weight == 1
    against = agreed((FIRST,), unusable=(SECOND,), first=-1.0)  # p < 1/2: 2p - 1 would be negative
    pairs, _ = make_pairs([against], COMPLETIONS, PairsConfig(weight="confidence"))
    assert pairs[0].weight == MIN_WEIGHT > 0


def test_every_two_completions_are_accounted_for():
    orders = [
        agreed((FIRST, SECOND), (THIRD,), unusable=(FOURTH,)),  # 6 pairs
        agreed((FOURTH,), unusable=(FIRST, SECOND)),  # 3 pairs
        agreed((FIRST,)),  # none
    ]
    for ties in ("soft", "drop"):
        for unusable in ("lose", "drop"):
            pairs, report = make_pairs(orders, COMPLETIONS, PairsConfig(ties=ties, unusable=unusable))
            left_out = (
                report.num_dropped_ties + report.num_dropped_unusable + report.num_both_unusable + report.num_identical
            )
            assert report.num_pairs == len(pairs)
            assert report.num_pairs + left_out == 6 + 3


def test_nothing_in_nothing_out():
    assert make_pairs([], COMPLETIONS, PairsConfig()) == ([], PairReport())


def test_unknown_and_foreign_completions_are_refused():
    with pytest.raises(DataError, match=f"prompt p: its consensus names completion {THIRD}, which is not known"):
        make_pairs([agreed((FIRST,), (THIRD,))], COMPLETIONS[:2], PairsConfig())
    foreign = COMPLETIONS[0].model_copy(update={"prompt_id": "other"})
    with pytest.raises(DataError, match=f"completion {FIRST} of prompt other"):
        make_pairs([agreed((FIRST,), (THIRD,))], [foreign, *COMPLETIONS[1:]], PairsConfig())


def test_own_pairs_are_what_each_labeler_says_whatever_the_others_do():
    rankings = [
        Ranking.of("p", "ann", "helpful", [[SECOND], [FIRST, THIRD]], unusable=[FOURTH]),
        Ranking.of("p", "ben", "helpful", [[THIRD], [SECOND]], degree="significantly_better"),
        Ranking.of("p", "ann", "helpful", [[FIRST], [SECOND]], session="again"),
    ]

    def said(**settings: str) -> list[tuple[str, str, str, float]]:
        pairs = make_own_pairs(rankings, COMPLETIONS, PairsConfig(**settings))
        assert {pair.weight for pair in pairs} == {1}
        return [(pair.labeler, pair.chosen, pair.rejected, pair.label) for pair in pairs]

    of_ben, again = ("ben", THIRD, SECOND, 1), ("ann", FIRST, SECOND, 1)
    strict = [("ann", SECOND, FIRST, 1), ("ann", SECOND, THIRD, 1)]
    marked = [("ann", one, FOURTH, 1) for one in (FIRST, SECOND, THIRD)]
    everything = [strict[0], ("ann", FIRST, THIRD, 0.5), marked[0], strict[1], marked[1], marked[2], of_ben, again]
    assert said() == said(weight="confidence") == everything
    assert said(ties="drop", unusable="drop") == [*strict, of_ben, again]
    margins = [pair.margin for pair in make_own_pairs(rankings, COMPLETIONS, PairsConfig())]
    assert margins == [0] * 6 + [1, 0]
