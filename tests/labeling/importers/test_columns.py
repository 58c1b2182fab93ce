"""A file that calls its columns otherwise says the same as one that calls them as Rein does."""

import csv
from pathlib import Path

import pyarrow
import pytest
from pyarrow.parquet import write_table
from pydantic import ValidationError

from labeling.feedback import Feedback
from models.errors import ConfigError
from models.settings.labels import AnnotatedFile, PairFile, ThumbFile
from models.settings.presets import parse_import
from tests.labeling.importers.feedback_files import read, refusal, write_lines

PAIR = {"prompt": "Name a fruit.", "chosen": "Plum", "rejected": "Sand"}
RENAMED = {"prompt": "question", "chosen": "better", "rejected": "worse"}


def renamed(row: dict, columns: dict[str, str]) -> dict:
    return {columns.get(name, name): value for name, value in row.items()}


def written(file: Path, rows: list[dict]) -> str:
    if file.suffix == ".parquet":
        write_table(pyarrow.Table.from_pylist(rows), file)
    elif file.suffix == ".csv":
        with file.open("w", encoding="utf-8", newline="") as text:
            writer = csv.DictWriter(text, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        write_lines(file, rows)
    return str(file)


@pytest.fixture
def plain(tmp_path) -> Feedback:
    return read(PairFile(path=written(tmp_path / "plain.jsonl", [PAIR])))


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_pairs(tmp_path, plain, ending):
    file = written(tmp_path / f"own.{ending}", [renamed(PAIR, RENAMED)])
    assert read(PairFile(path=file, columns=RENAMED)) == plain
    crossed = {"chosen": "rejected", "rejected": "chosen"}  # names of Rein's, for the other thing
    file = written(tmp_path / f"crossed.{ending}", [renamed(PAIR, crossed)])
    assert read(PairFile(path=file, columns=crossed)) == plain
    assert read(PairFile(path=file)) != plain


def test_a_column_of_a_name_that_is_not_asked_for_is_left_alone(tmp_path, plain):
    row = {**renamed(PAIR, RENAMED), "prompt": 5, "chosen": None}
    assert read(PairFile(path=written(tmp_path / "own.jsonl", [row]), columns=RENAMED)) == plain


def test_whole_dialogues_under_other_names(tmp_path):
    start = "\n\nHuman: Hi\n\nAssistant:"
    rows = [{"a": f"{start} Yes", "b": f"{start} No"}]
    feedback = read(PairFile(path=written(tmp_path / "own.jsonl", rows), columns={"chosen": "a", "rejected": "b"}))
    assert [one.text for one in feedback.prompts] == ["Hi"]
    assert sorted(one.text for one in feedback.completions) == [" No", " Yes"]


def test_thumbs(tmp_path):
    row = {"prompt": "Name a fruit.", "completion": "Plum", "label": True}
    own = {"prompt": "Frage", "completion": "Antwort", "label": "gut?"}
    plain, other = (written(tmp_path / f"{n}.csv", [one]) for n, one in enumerate([row, renamed(row, own)]))
    assert read(ThumbFile(path=other, columns=own)) == read(ThumbFile(path=plain))


def test_lists_and_tables_of_annotators(tmp_path):
    said = [{"annotator": "w1", "ranks": [2, 1]}]
    row = {"prompt": "Name a fruit.", "completions": ["Plum", "Fig"], "annotations": said}
    own = {"prompt": "question", "completions": "texts", "annotations": "votes"}
    feedback = read(AnnotatedFile(path=written(tmp_path / "plain.jsonl", [row]), criterion="taste"))
    file = written(tmp_path / "own.jsonl", [renamed(row, own)])
    assert read(AnnotatedFile(path=file, criterion="taste", columns=own)) == feedback
    cells = [
        {"q": "Name a fruit.", "text": text, "who": "w1", "place": place} for text, place in [("Plum", 2), ("Fig", 1)]
    ]
    own = {"prompt": "q", "completion": "text", "annotator": "who", "rank": "place"}
    file = written(tmp_path / "own.csv", cells)
    assert read(AnnotatedFile(path=file, criterion="taste", columns=own)) == feedback


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_name_that_the_file_lacks_is_one_line_with_those_it_has(tmp_path, ending):
    file = written(tmp_path / f"own.{ending}", [renamed(PAIR, RENAMED)] * 3)
    for columns, key, name in [
        (RENAMED | {"chosen": "beter"}, "chosen", "beter"),
        (RENAMED | {"prompt": "Question"}, "prompt", "Question"),
        ({"prompt": "question", "rejected": "worse"}, "chosen", "chosen"),
    ]:
        expected = f"{file}: columns.{key}: no column {name!r}; there are 'question', 'better', 'worse'"
        assert refusal(PairFile(path=file, columns=columns)) == expected


def test_where_some_rows_have_the_column_the_others_are_bad_rows(tmp_path):
    file = written(tmp_path / "own.jsonl", [renamed(PAIR, RENAMED), PAIR])
    message = refusal(PairFile(path=file, columns=RENAMED))
    assert "(bad rows: 1)" in message and f"{file}:2: better: no such column; worse: no such column" in message


def test_complaints_name_the_columns_of_the_file(tmp_path):
    rows = [renamed(one, RENAMED) for one in [PAIR, PAIR | {"rejected": "Plum "}, PAIR | {"prompt": " "}]]
    message = refusal(PairFile(path=written(tmp_path / "own.jsonl", rows), columns=RENAMED))
    assert "own.jsonl:2: worse: it is the same text as better (" in message
    assert "own.jsonl:3: question: expected text, found ' '" in message


def test_a_name_that_the_kind_does_not_read_is_refused_with_its_key(tmp_path):
    with pytest.raises(ConfigError, match=r"labels\.columns\.promt: no such key"):
        parse_import("pairs", "x.jsonl", ("columns.promt=question",))
    assert parse_import("pairs", "x.jsonl", ("columns.prompt=q",)).labels.columns.prompt == "q"
    listed = r"completion: a \.jsonl file is read by prompt, completions, annotations"
    with pytest.raises(ValidationError, match=listed):
        AnnotatedFile(path="x.jsonl", criterion="taste", columns={"completion": "text"})
    with pytest.raises(ValidationError, match=r"score: a \.csv file is read by prompt, completion, annotator, rank \["):
        AnnotatedFile(path="x.csv", criterion="taste", columns={"score": "points"})
