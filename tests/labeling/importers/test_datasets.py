"""Feedback from folders of `datasets`: what `save_to_disk` wrote, and what `load_dataset` reads."""

from pathlib import Path

import datasets
import pytest
from pydantic import ValidationError

from labeling.sources.hub import pin_revisions
from labeling.sources.read_source import read_demonstrations, read_prompts
from models.errors import ConfigError, DataError
from models.settings.labels import AnnotatedFile, FeedbackFolder, PairFile, ThumbFile
from models.settings.presets import parse_import
from models.settings.rewards import MixtureReward
from models.settings.sources import DemonstrationHub, TextHub
from tasks.running.cache_key import input_identity
from tests.labeling.importers.feedback_files import read, read_rest, refusal, write_lines

PAIRS = [
    {"prompt": "Name a fruit.", "chosen": "Plum", "rejected": "Sand"},
    {"prompt": "Name a bird.", "chosen": "Owl", "rejected": "Dog"},
]
HELD_OUT = [{"prompt": "Name a fish.", "chosen": "Cod", "rejected": "Cow"}]


def saved(folder: Path, rows: list[dict] = PAIRS, **splits: list[dict]) -> str:
    """A Dataset of the rows; with splits a DatasetDict."""
    of_split = {name: datasets.Dataset.from_list(of_name, split=name) for name, of_name in splits.items()}
    (datasets.DatasetDict(of_split) if splits else datasets.Dataset.from_list(rows)).save_to_disk(folder)
    return str(folder)


def pairs(name: str, **more) -> PairFile:
    return PairFile(dataset={"name": name, **more})


@pytest.fixture
def expected(tmp_path):
    return read(PairFile(path=str(write_lines(tmp_path / "pairs.jsonl", PAIRS))))


def test_a_saved_dataset_says_the_same_as_a_file(tmp_path, expected):
    assert read(pairs(saved(tmp_path / "saved"))) == expected
    (tmp_path / "files").mkdir()
    write_lines(tmp_path / "files" / "train.jsonl", PAIRS)
    assert read(pairs(str(tmp_path / "files"))) == expected


def test_a_split_is_chosen(tmp_path, expected):
    folder = saved(tmp_path / "saved", train=PAIRS, test=HELD_OUT)
    assert read(pairs(folder)) == expected
    assert [one.text for one in read(pairs(folder, split="test")).prompts] == ["Name a fish."]
    there = "there is no 'validation'; there are 'train', 'test'"
    assert refusal(pairs(folder, split="validation")) == f"dataset {folder!r}: split: {there}"
    alone = datasets.load_from_disk(folder)["test"]
    alone.save_to_disk(tmp_path / "test")
    assert alone.split == "test"
    assert "split: there is no 'train'; there are 'test'" in refusal(pairs(str(tmp_path / "test")))
    assert "split: there is no 'test'" in refusal(pairs(saved(tmp_path / "one"), split="test"))
    assert "subset: " in refusal(pairs(folder, subset="en"))


def test_thumbs_and_lists_of_annotators(tmp_path):
    thumbs = [{"prompt": "Q", "completion": "a", "label": True}, {"prompt": "Q", "completion": "b", "label": False}]
    config = ThumbFile(dataset={"name": saved(tmp_path / "thumbs", thumbs)})
    assert read(config) == read(ThumbFile(path=str(write_lines(tmp_path / "thumbs.jsonl", thumbs))))
    rows = [{"prompt": "Q", "completions": ["a", "b"], "annotations": [{"annotator": "w", "ranks": [2, 1]}], "n": 11}]
    more = {"criterion": "taste", "held_out_column": "n"}
    config = AnnotatedFile(dataset={"name": saved(tmp_path / "ranked", rows)}, **more)
    assert read(config) == read(AnnotatedFile(path=str(write_lines(tmp_path / "ranked.jsonl", rows)), **more))


def test_messages_of_a_dataset_have_every_field_that_any_has(tmp_path):
    user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes", "tool_calls": None}
    rows = [{"chosen": [user, assistant], "rejected": [user, {**assistant, "content": "No"}], "winner": "tie"}]
    (ranking,) = read(pairs(saved(tmp_path / "saved", rows))).rankings
    assert len(ranking.levels) == 1, "a tie"


def test_bad_rows_are_named_by_number(tmp_path, expected):
    folder = saved(tmp_path / "saved", [PAIRS[0], {**PAIRS[0], "rejected": " "}, PAIRS[1]])
    assert f"  {folder}:2: rejected: the completion is empty" in refusal(pairs(folder))
    feedback, rejected = read_rest(pairs(folder), tmp_path)
    assert feedback == expected and [one["line"] for one in rejected] == [2]
    columns = {"chosen": "better"}
    config = PairFile(dataset={"name": folder}, columns=columns)
    there = "there are 'prompt', 'chosen', 'rejected'"
    assert refusal(config) == f"{folder}: columns.chosen: no column 'better'; {there}"


def test_a_folder_that_cannot_be_loaded_is_named(tmp_path):
    folder = Path(saved(tmp_path / "saved"))
    next(folder.glob("*.arrow")).write_bytes(b"ARROW1")
    assert f"dataset {str(folder)!r} cannot be loaded: " in refusal(pairs(str(folder)))
    (tmp_path / "empty").mkdir()
    assert "cannot be loaded: " in refusal(pairs(str(tmp_path / "empty")))


def test_either_a_file_or_a_dataset():
    for kind in (PairFile, ThumbFile):
        with pytest.raises(ValidationError, match="say one of `path` and `dataset`"):
            kind()
        with pytest.raises(ValidationError, match="say one of `path` and `dataset`"):
            kind(path="a.jsonl", dataset={"name": "org/rows"})
    with pytest.raises(ValidationError, match="rank: a dataset is read by prompt, completions, annotations"):
        AnnotatedFile(dataset={"name": "org/rows"}, criterion="taste", columns={"rank": "place"})


def test_what_the_folder_holds_counts_and_its_revision_is_refused(tmp_path):
    config = pairs(saved(tmp_path / "saved"))
    before = input_identity(config)
    assert pin_revisions(config) is config
    with pytest.raises(ConfigError, match="revision: a local folder has none"):
        pin_revisions(pairs(config.dataset.name, revision="main"))
    part = {"labels": {"kind": "pairs", "dataset": {"name": config.dataset.name, "revision": "main"}}}
    mixture = MixtureReward.model_validate({"parts": {"kind": part, "brief": {}}})
    with pytest.raises(ConfigError, match="revision: a local folder has none"):
        pin_revisions(mixture)
    moved = saved(tmp_path / "moved", HELD_OUT)
    assert input_identity(pairs(moved)) != before


def test_an_import_takes_a_folder(tmp_path, expected):
    folder = saved(tmp_path / "saved", train=HELD_OUT, test=PAIRS)
    chosen = parse_import("pairs", folder, ("dataset.split=test",)).labels
    assert chosen.path is None and read(chosen) == expected
    assert parse_import("folder", folder, ()).labels == FeedbackFolder(path=folder)


def test_sources_read_saved_datasets_too(tmp_path):
    folder = saved(tmp_path / "saved", train=PAIRS, test=HELD_OUT)
    assert read_prompts(TextHub(name=folder, column="prompt", split="test"), 0) == ["Name a fish."]
    source = DemonstrationHub(name=folder, completion_column="chosen")
    assert read_demonstrations(source, 0, None) == [("Name a fruit.", "Plum"), ("Name a bird.", "Owl")]
    with pytest.raises(DataError, match="split: there is no 'dev'"):
        read_prompts(TextHub(name=folder, column="prompt", split="dev"), 0)
