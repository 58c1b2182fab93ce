"""Which prompts a policy is tuned on."""

import pytest

from models.records import Prompt, Text, write_records
from models.tuning.tuner import read_prompts, read_texts


@pytest.fixture
def folders(tmp_path):
    """Feedback with a prompt on each side, and prompts of their own, one of which the feedback holds out."""
    told = [Prompt.of("a", "train"), Prompt.of("b", "validation"), Prompt.of("c", "test")]
    own = [Prompt.of("c", "train"), Prompt.of("d", "train"), Prompt.of("e", "validation"), Prompt.of("f", "test")]
    for name, prompts in (("feedback", told), ("prompts", own)):
        (tmp_path / name).mkdir()
        write_records(tmp_path / name / "prompts.jsonl", prompts)
    return tmp_path


def test_those_of_the_feedback_by_default(folders):
    assert read_prompts(folders / "feedback", None) == (["a"], ["b"])


def test_prompts_of_their_own_without_what_the_feedback_holds_out_and_its_validation_prompts(folders):
    assert read_prompts(folders / "feedback", folders / "prompts") == (["d"], ["b"])


def test_texts_where_there_are_any(tmp_path):
    assert read_texts(None) is None
    write_records(tmp_path / "texts.jsonl", [Text(text="one"), Text(text="two")])
    assert read_texts(tmp_path) == ["one", "two"]
