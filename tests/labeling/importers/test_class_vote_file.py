"""Feedback from a file of votes for classes: counts in columns, or a class in each row."""

import json
from pathlib import Path

import datasets
import pytest

from labeling.exporters.tables import export_raw
from labeling.feedback import in_order
from models.class_votes import ClassVotes
from models.errors import ConfigError
from models.preferences.splits import assign_split
from models.records import Prompt
from models.settings.labels import ClassVoteFile, FeedbackFolder
from models.settings.presets import parse_config
from models.settings.sources import HubDataset
from tests.labeling.importers.feedback_files import SEED, SPLIT, read, read_rest, refusal, write_lines

COUNTED = "hate,fine,said\n0,3,a dear friend\n2.0,1,you fool\n1,0,you fool\n"
COLUMNS = {"rude": "hate", "polite": "fine"}


def votes(text: str, prompt: str | None = None, **counts: int) -> ClassVotes:
    side = assign_split(text if prompt is None else prompt, SPLIT, SEED)
    return ClassVotes(prompt=prompt, text=text, split=side, votes=counts)


def table(tmp_path: Path, text: str = COUNTED, **settings) -> ClassVoteFile:
    (tmp_path / "votes.csv").write_text(text, encoding="utf-8")
    return ClassVoteFile(path=str(tmp_path / "votes.csv"), **{"columns": {"text": "said"}, "votes": COLUMNS} | settings)


def test_counts_become_votes_and_rows_of_one_text_are_added_up(tmp_path):
    """Nobody's vote stands nowhere: the first text has none for rude."""
    feedback = read(table(tmp_path))
    assert feedback.class_votes == [votes("a dear friend", polite=3), votes("you fool", polite=1, rude=3)]
    assert not (feedback.prompts or feedback.completions or feedback.rankings or feedback.ratings)


def test_a_class_in_each_row_is_a_vote(tmp_path):
    rows = [{"text": "you fool", "label": 1}, {"text": "you fool", "label": 0}, {"text": "a friend", "label": 0}]
    config = ClassVoteFile(
        path=str(write_lines(tmp_path / "rows.jsonl", rows)), class_column="label", names={"0": "polite", "1": "rude"}
    )
    expected = [votes("a friend", polite=1), votes("you fool", polite=1, rude=1)]
    assert read(config).class_votes == expected
    unnamed = config.model_copy(update={"names": {}})
    assert [one.votes for one in read(unnamed).class_votes] == [{"0": 1}, {"0": 1, "1": 1}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    assert (
        read(config.model_copy(update={"path": None, "dataset": HubDataset(name=str(tmp_path / "saved"))})).class_votes
        == expected
    )


def test_texts_behind_prompts_are_held_out_by_their_prompts(tmp_path):
    rows = [{"ask": "Help me.", "text": text, "label": "fine"} for text in ("yes", "no", "so")]
    columns = {"text": "text", "prompt": "ask"}
    feedback = read(
        ClassVoteFile(path=str(write_lines(tmp_path / "a.jsonl", rows)), columns=columns, class_column="label")
    )
    side = assign_split("Help me.", SPLIT, SEED)
    assert feedback.prompts == [Prompt.of("Help me.", side)]
    assert {(one.prompt, one.split) for one in feedback.class_votes} == {("Help me.", side)}
    assert len(feedback.class_votes) == 3


def test_a_snapshot_of_votes_is_read_back(tmp_path):
    feedback = read(table(tmp_path))
    export_raw(feedback, tmp_path)
    assert read(FeedbackFolder(path=str(tmp_path))) == in_order(feedback)
    lines = (tmp_path / "class_votes.jsonl").read_text(encoding="utf-8").splitlines()
    broken = json.loads(lines[0]) | {"votes": {"rude": -1}}
    (tmp_path / "class_votes.jsonl").write_text(json.dumps(broken) + "\n", encoding="utf-8")
    assert "class_votes.jsonl:1: votes.rude: Input should be greater than or equal to 1" in refusal(
        FeedbackFolder(path=str(tmp_path))
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hate,fine,said\n0,0,so\n", "votes.csv:2: nobody voted: hate, fine are all 0"),
        ("hate,fine,said\n1.5,0,so\n", "votes.csv:2: hate: expected a number of votes, found '1.5'"),
        ("hate,fine,said\n-1,0,so\n", "votes.csv:2: hate: expected a number of votes, found '-1'"),
        ("hate,fine,said\nmany,0,so\n", "votes.csv:2: hate: expected a number of votes, found 'many'"),
        ("hate,fine,said\n1,0,\n", "votes.csv:2: said: expected text, found ''"),
        ("hate,good,said\n1,0,so\n", "votes.polite: no column 'fine'; there are 'hate', 'good', 'said'"),
        ("hate,fine,said\n", "votes.csv: it holds no rows"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, said):
    assert said in refusal(table(tmp_path, text))


def test_bad_rows_are_set_aside_and_the_others_read(tmp_path):
    feedback, rejected = read_rest(table(tmp_path, COUNTED + "0,0,so\n"), tmp_path)
    assert len(feedback.class_votes) == 2
    assert [(one["line"], one["row"]["said"]) for one in rejected] == [(5, "so")]


def test_an_unknown_class_in_a_row_is_named(tmp_path):
    rows = [{"text": "so", "label": "grim"}, {"text": "so", "label": None}, {"text": "so"}]
    config = ClassVoteFile(
        path=str(write_lines(tmp_path / "rows.jsonl", rows)), class_column="label", names={"mild": "fine"}
    )
    message = refusal(config)
    assert "rows.jsonl:1: label: expected one of mild; found 'grim'" in message
    assert "rows.jsonl:2: label: expected a class, found None" in message
    assert "rows.jsonl:3: label: no such column" in message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "say one of `votes` and `class_column`"),
        ({"votes": {"a": "b", "c": "d"}, "class_column": "e"}, "say one of `votes` and `class_column`"),
        ({"votes": {"a": "b"}}, "one class is none to tell from another"),
        ({"votes": {"a": "b", "c": "d"}, "names": {"e": "f"}}, "names goes with class_column"),
    ],
)
def test_settings_that_say_nothing_are_refused(settings, said):
    labels = {"kind": "class_votes", "path": "a.csv"} | settings
    with pytest.raises(ConfigError, match=said):
        parse_config({"base": {"kind": "pretrained", "model": "a"}, "labels": labels})
