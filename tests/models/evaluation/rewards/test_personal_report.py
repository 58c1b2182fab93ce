"""The report on people, against three judgements that are counted by hand."""

import pytest
import torch

from models.errors import DataError
from models.evaluation.rewards.personal_report import OnePerson, report_people
from models.records import Completion, Prompt, Ranking
from models.rewards.scorer import People
from tests.tolerances import close

SEEN, ONE, OTHER = (Prompt.of(text, split) for text, split in (("seen", "train"), ("one", "test"), ("other", "test")))
LOGITS = {"a": 1.0, "b": 0.0, "c": 0.0}
FEATURES = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.0, 1.0]}


def read(prompts, completions):
    assert "seen" not in prompts
    return torch.tensor([LOGITS[one] for one in completions]), torch.tensor([FEATURES[one] for one in completions])


PEOPLE = People({"ann": torch.tensor([0.0, 3.0]), "ben": torch.tensor([0.0, 0.0])}, read)
COMPLETIONS = {(prompt.id, text): Completion.of(prompt.id, text) for prompt in (SEEN, ONE, OTHER) for text in "abc"}


def ranked(prompt: Prompt, labeler: str, order: str) -> Ranking:
    return Ranking.of(prompt.id, labeler, "taste", [[COMPLETIONS[prompt.id, text].id] for text in order])


def test_each_person_is_foretold_by_the_shared_and_by_their_own_score():
    """To all, a scores 1 and b and c score 0; to ann b and c score 3. Of ann's five preferences ba, ca, bc; ba; and ben's ab the shared score
    has 0, 0, one half; 0; 1 right, and the personal one 1, 1, one half; 1; 1."""
    rankings = [
        *(ranked(ONE, "ann", "bca"), ranked(OTHER, "ann", "ba"), ranked(ONE, "ben", "ab")),
        *(ranked(SEEN, "ann", "ab"), ranked(ONE, "eve", "ab")),
    ]
    report = report_people(PEOPLE, [SEEN, ONE, OTHER], list(COMPLETIONS.values()), rankings)
    assert report.people == (
        OnePerson(person="ann", num_preferences=4, shared=0.125, personal=0.875),
        OnePerson(person="ben", num_preferences=1, shared=1.0, personal=1.0),
    )
    assert report.num_preferences == 5
    assert close((report.shared_accuracy, report.personal_accuracy, report.gain), (1.5 / 5, 4.5 / 5, 3 / 5))
    assert report.gain_low < 3 / 5 < report.gain_high
    assert report.figures["personal_accuracy"] == report.personal_accuracy
    assert report.figures["personal_shared_accuracy"] == report.shared_accuracy


def test_without_a_preference_of_a_known_person_there_is_nothing_to_tell():
    with pytest.raises(
        DataError, match="nobody whom the reward has learned from prefers anything on a held-out prompt"
    ):
        report_people(PEOPLE, [ONE], list(COMPLETIONS.values()), [ranked(ONE, "eve", "ab")])
