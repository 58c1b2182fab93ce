"""The tiny world with rude texts: how many there are, that the rule finds them, and that they help as much as the others."""

import pytest

from labeling.worlds import household, rudeness
from labeling.worlds.household_phrases import HOT
from labeling.worlds.politeness_judge import open_judge
from labeling.worlds.rudeness import PHRASES, is_rude
from models.settings.judges import PolitenessRule
from models.settings.sources import RudeHousehold

HOT_HOUSE = "My house is too hot."
HELPFUL = "You could switch on the fan."


@pytest.mark.parametrize("phrase", PHRASES.values())
def test_a_rude_sentence_is_found_and_costs_no_helpfulness(phrase):
    for text in (f"{phrase} {HELPFUL}", f"{HELPFUL} {phrase}", f"{HELPFUL} {phrase.upper()}"):
        assert is_rude(text)
        assert household.helpfulness(HOT_HOUSE, text) == household.helpfulness(HOT_HOUSE, HELPFUL) == 2.0


def test_nothing_else_in_this_world_is_rude():
    everything = [
        *household.texts(500, 0),
        *(text for pair in household.demonstrations(500, 0) for text in pair),
        *HOT.helpful,
    ]
    assert not any(map(is_rude, everything))
    assert not is_rude("Stay childlike and do not dislike lazybones."), "only whole words"


def test_the_share_of_rude_texts_is_the_one_asked_for():
    """Of 2000 at .3: 600, give or take three standard deviations, sqrt(2000 * .3 * .7) = 20.5."""
    source = RudeHousehold(num_rows=2000, rude_share=0.3)
    texts, advice = rudeness.texts(source, 5, None), [text for _, text in rudeness.demonstrations(source, 5, None)]
    for drawn in (texts, advice):
        assert abs(sum(map(is_rude, drawn)) - 600) < 62
    assert len({phrase for text in advice for phrase in PHRASES.values() if phrase in text}) == len(PHRASES)
    assert rudeness.texts(source, 5, None) == texts != rudeness.texts(source, 6, None)


def test_without_rudeness_it_is_the_tiny_world():
    none = RudeHousehold(num_rows=50, rude_share=0)
    assert rudeness.texts(none, 3, None) == household.texts(50, 3)
    assert rudeness.demonstrations(none, 3, None) == household.demonstrations(50, 3)
    every = RudeHousehold(num_rows=50, rude_share=1)
    assert all(is_rude(text) for text in rudeness.texts(every, 3, None))
    assert [prompt for prompt, _ in rudeness.demonstrations(every, 3, None)] == [
        p for p, _ in household.demonstrations(50, 3)
    ]


def test_the_judge_prefers_what_is_not_rude_and_gives_the_share():
    texts = [HELPFUL, f"Stop whining. {HELPFUL}", "", "Any child knows that."]
    judge = open_judge(PolitenessRule(), None, None)
    assert judge.grade([HOT_HOUSE] * 4, texts) == [1.0, 0.0, 1.0, 0.0]
    assert judge.figures([HOT_HOUSE] * 4, texts) == {"rude": 0.5}
