"""Rows that are no prompt stop a source, or are set aside with their reasons."""

import json

import pyarrow
import pytest
from pyarrow.parquet import write_table

from labeling.sources.read_source import read_prompts
from models.errors import DataError
from models.settings.sources import TextFile, TextHub


def test_bad_prompts_are_refused_together_or_set_aside(tmp_path):
    path, rejected = tmp_path / "rows.jsonl", tmp_path / "rejected.jsonl"
    path.write_text('{"text": "one"}\n{"text": " "}\n{\n{"note": "x"}\n{"text": "two"}\n', encoding="utf-8")
    source = TextFile(path=str(path))
    with pytest.raises(DataError) as caught:
        read_prompts(source, 0)
    assert str(caught.value).splitlines() == [
        "the source of kind file does not fit (bad rows: 3):",
        f"  {path}:2: text: expected text, found ' '",
        f"  {path}:3: not JSON (Expecting property name enclosed in double quotes at column 2)",
        f"  {path}:4: text: no such column",
    ]
    assert read_prompts(source, 0, set_aside=rejected) == ["one", "two"]
    lines = [json.loads(line) for line in rejected.read_text(encoding="utf-8").splitlines()]
    assert [(one["line"], one["row"]) for one in lines] == [(2, {"text": " "}), (3, "{"), (4, {"note": "x"})]
    path.write_text('{"text": ""}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"\(bad rows: 1\)"):
        read_prompts(source, 0, set_aside=rejected)  # nothing would be left


def test_bad_prompts_of_a_dataset_and_of_a_text_file_are_set_aside(tmp_path):
    (tmp_path / "data").mkdir()
    write_table(pyarrow.table({"text": ["one", None, "two"]}), tmp_path / "data" / "train.parquet")
    (tmp_path / "rows.txt").write_bytes(b"one\n\xff\n\ntwo\n")
    for source in (TextHub(name=str(tmp_path / "data")), TextFile(path=str(tmp_path / "rows.txt"))):
        assert read_prompts(source, 0, set_aside=tmp_path / "rejected.jsonl") == ["one", "two"]
        assert json.loads((tmp_path / "rejected.jsonl").read_text(encoding="utf-8"))["line"] == 2
