"""Draws of the labelers: people with all that they ranked, and the pairs that each draw gives."""

from collections import Counter

import numpy as np
import pytest

from models.errors import DataError
from models.preferences.bootstrap import bootstrap_pairs, draw_labelers, drawn_rankings
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.records import Completion, Pair, Prompt, Ranking
from models.settings.pipeline import ConsensusConfig, PairsConfig

CONSENSUS, PAIRS = ConsensusConfig(), PairsConfig()
PROMPTS = [Prompt.of(f"prompt {number}", "train") for number in range(6)]
COMPLETIONS = {prompt.id: [Completion.of(prompt.id, word) for word in ("fuse", "nut", "sink")] for prompt in PROMPTS}
ALL = [one for own in COMPLETIONS.values() for one in own]
PEOPLE = ("ann", "bob", "eve", "zoe")


def ranked(labeler: str, prompt: Prompt, *order: int) -> Ranking:
    return Ranking.of(prompt.id, labeler, "helpful", [[COMPLETIONS[prompt.id][place].id] for place in order])


# eve has ranked most; zoe puts the last one first
RANKINGS = [
    *(ranked("ann", prompt, 0, 1, 2) for prompt in PROMPTS[:2]),
    *(ranked("bob", prompt, 1, 0, 2) for prompt in PROMPTS[2:4]),
    *(ranked("eve", prompt, 0, 2, 1) for prompt in PROMPTS),
    ranked("zoe", PROMPTS[5], 2, 1, 0),
]


def bootstrap(num_draws: int = 4, seed: int = 0, rankings=RANKINGS):
    return bootstrap_pairs(rankings, ALL, num_draws, seed, CONSENSUS, PAIRS)


def test_people_are_drawn_and_as_many_as_there_are_whatever_they_ranked():
    draws = [draw_labelers(RANKINGS, np.random.default_rng(seed)) for seed in range(2000)]
    assert all(sum(times.values()) == 4 for times in draws)
    # a person is drawn once on average, and left out with (3/4)^4 = .316; a share of 2,000 has a standard error of .0104
    for person in PEOPLE:
        assert abs(np.mean([times.get(person, 0) for times in draws]) - 1) < 4 * np.sqrt(4 * 3 / 16 / 2000)
        assert abs(np.mean([person not in times for times in draws]) - (3 / 4) ** 4) < 4 * 0.0104


def test_whoever_is_drawn_comes_with_everything_as_often_as_drawn():
    drawn = drawn_rankings(RANKINGS, {"ann": 3, "zoe": 1})
    assert Counter(one.labeler for one in drawn) == {"ann": 3 * 2, "zoe": 1}
    assert [one for one in drawn if one.session == ""] == [one for one in RANKINGS if one.labeler in ("ann", "zoe")]
    assert {(one.labeler, one.session) for one in drawn} == {("ann", ""), ("ann", "#2"), ("ann", "#3"), ("zoe", "")}
    assert {one.levels for one in drawn} == {one.levels for one in RANKINGS if one.labeler in ("ann", "zoe")}
    assert drawn_rankings(RANKINGS, dict.fromkeys(PEOPLE, 1)) == RANKINGS


def test_whoever_is_drawn_twice_weighs_twice():
    """Two people who agree on five prompts, and contradict each other on one."""
    agreed_on = [ranked(name, prompt, 0, 1, 2) for name in ("ann", "bob") for prompt in PROMPTS[1:]]
    said = [*agreed_on, ranked("ann", PROMPTS[0], 0, 1, 2), ranked("bob", PROMPTS[0], 2, 1, 0)]
    first, _, last = (one.id for one in COMPLETIONS[PROMPTS[0].id])

    def lead(**times: int) -> float:
        (own,) = (one for one in agree(drawn_rankings(said, times), CONSENSUS)[0] if one.prompt_id == PROMPTS[0].id)
        return own.strengths[first] - own.strengths[last]

    assert lead(ann=1, bob=1) == 0
    assert lead(ann=2, bob=1) > 0.5 and lead(ann=1, bob=2) < -0.5


def test_whoever_is_drawn_twice_does_not_vouch_for_themselves():
    careful = [ranked(name, prompt, 0, 1, 2) for name in ("ann", "bob") for prompt in PROMPTS]
    said = [*careful, *(ranked("zoe", prompt, 2, 1, 0) for prompt in PROMPTS)]
    report = agree(drawn_rankings(said, {"ann": 1, "bob": 1, "zoe": 3}), CONSENSUS)[1]
    reliability = {one.labeler: one.reliability for one in report.labelers}
    # three of five rankings are zoe's, who is upside down: as three people they would have outvoted the others
    assert reliability["zoe"] == 0 and reliability["ann"] > 0.9


def test_the_pairs_of_a_draw_are_those_of_its_own_consensus():
    for times, pairs in bootstrap():
        agreed, _ = agree(drawn_rankings(RANKINGS, times), CONSENSUS)
        assert pairs == make_pairs(agreed, ALL, PAIRS)[0]
        asked = {one.prompt_id for one in RANKINGS if one.labeler in times}
        assert {pair.prompt_id for pair in pairs} == asked, "of what nobody drawn has ranked there is no pair"


def test_the_settings_of_consensus_and_pairs_are_the_runs_own():
    other = bootstrap_pairs(RANKINGS, ALL, 4, 0, ConsensusConfig(tie_width=0.3), PairsConfig(weight="confidence"))
    assert [draw.pairs for draw in other] != [draw.pairs for draw in bootstrap()]
    assert any(pair.weight != 1 for draw in other for pair in draw.pairs)


def test_the_same_seed_gives_the_same_draws_and_more_of_them_begin_alike():
    assert bootstrap() == bootstrap() == bootstrap(num_draws=6)[:4] != bootstrap(seed=1)
    assert len({tuple(draw.times.items()) for draw in bootstrap(num_draws=6)}) > 1
    shuffled = [RANKINGS[number] for number in np.random.default_rng(0).permutation(len(RANKINGS))]
    assert [draw.times for draw in bootstrap(rankings=shuffled)] == [draw.times for draw in bootstrap()]


def test_one_labeler_is_drawn_again_and_again():
    alone = [one for one in RANKINGS if one.labeler == "eve"]
    pairs = make_pairs(agree(alone, CONSENSUS)[0], ALL, PAIRS)[0]
    assert bootstrap(rankings=alone) == [({"eve": 1}, pairs)] * 4


def test_people_who_agree_on_nothing_are_drawn_anew():
    opposed = [ranked("ann", PROMPTS[0], 0, 1, 2), ranked("bob", PROMPTS[0], 2, 1, 0)]
    assert not any(pair.label > 0.5 for pair in make_pairs(agree(opposed, CONSENSUS)[0], ALL, PAIRS)[0])
    for times, pairs in bootstrap(num_draws=8, rankings=opposed):
        assert set(times) in ({"ann"}, {"bob"}) and Pair in map(type, pairs)
    tied = [Ranking.of(PROMPTS[0].id, "ann", "helpful", [[one.id for one in COMPLETIONS[PROMPTS[0].id]]])]
    with pytest.raises(DataError, match=r"100 draws of the labelers .* set reward.kind to pairwise"):
        bootstrap(rankings=tied)
