"""By how much people prefer one of two: from what they said to the margins of pairs."""

import pytest
from pydantic import ValidationError

from models.preferences.bootstrap import drawn_rankings
from models.preferences.consensus import agree
from models.preferences.margins import mean_margins
from models.preferences.pairs import make_pairs
from models.records import Completion, Ranking
from models.settings.pipeline import ConsensusConfig, PairsConfig


def choice(labeler: str, better: str, worse: str, degree=None, prompt: str = "p") -> Ranking:
    return Ranking.of(prompt, labeler, "helpful", [[better], [worse]], degree=degree)


def test_a_degree_is_part_of_what_was_said():
    plain, strong = choice("ann", "a", "b"), choice("ann", "a", "b", "significantly_better")
    assert plain.id == Ranking.of("p", "ann", "helpful", [["a"], ["b"]]).id != strong.id
    assert Ranking.model_validate_json(strong.model_dump_json()) == strong
    for levels, unusable in (
        ([["a", "b"]], []),
        ([["a"], ["b"], ["c"]], []),
        ([["a"]], ["b"]),
        ([["a"], ["b"]], ["c"]),
    ):
        with pytest.raises(ValidationError, match="a degree is of two completions of which one is better"):
            Ranking.of("p", "ann", "helpful", levels, unusable, degree="better")
    with pytest.raises(ValidationError, match="Input should be 'significantly_better', 'better', "):
        Ranking.model_validate(plain.model_dump() | {"degree": "hugely_better"})


SAID = [
    choice("ann", "a", "b", "significantly_better"),  # 1
    choice("bob", "a", "b", "slightly_better"),  # 1/3
    choice("cem", "a", "b"),  # did not say
    choice("dan", "b", "a", "better"),  # 2/3 the other way
    choice("ann", "b", "c", "negligibly_better"),  # 0
    choice("ann", "c", "d"),
    choice("ann", "x", "y", "better", prompt="q"),
]


def test_the_mean_is_over_those_who_preferred_the_winner_and_said_by_how_much():
    expected = {
        ("p", "helpful", "a"): {"b": pytest.approx((1 + 1 / 3) / 2)},
        ("p", "helpful", "b"): {"a": pytest.approx(2 / 3), "c": 0.0},
        ("q", "helpful", "x"): {"y": pytest.approx(2 / 3)},
    }
    assert mean_margins(SAID) == expected and mean_margins(SAID[::-1]) == expected


def test_pairs_have_the_margin_of_the_one_that_won():
    completions = [Completion(id=name, prompt_id="p", text=name, ended=True) for name in "abcd"]
    completions += [Completion(id=name, prompt_id="q", text=name, ended=True) for name in "xy"]
    agreed, _ = agree(SAID, ConsensusConfig(tie_width=0))
    pairs, _ = make_pairs(agreed, completions, PairsConfig())
    margins = {(one.chosen, one.rejected): one.margin for one in pairs}
    assert margins["a", "b"] == pytest.approx(2 / 3) and margins["x", "y"] == pytest.approx(2 / 3)
    others = [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    assert [margins[pair] for pair in others] == [0.0] * 5, "negligible, or never said"
    tied, _ = agree(SAID[:1] + SAID[3:4], ConsensusConfig(tie_width=0.1))
    ((tie,), _) = make_pairs(tied, completions, PairsConfig())
    assert (tie.label, tie.margin) == (0.5, 0.0)


def test_who_is_drawn_twice_says_the_same_degree_twice():
    drawn = drawn_rankings(SAID[:2], {"ann": 2, "bob": 1})
    assert [one.degree for one in drawn] == ["significantly_better", "significantly_better", "slightly_better"]
    assert mean_margins(drawn)["p", "helpful", "a"]["b"] == pytest.approx((1 + 1 + 1 / 3) / 3)
