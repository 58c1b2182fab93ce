"""The same feedback in every format of rows is the same feedback."""

import json
from pathlib import Path

import pytest

from models.settings.labels import AnnotatedFile, PairFile, ThumbFile
from tests.labeling.importers.feedback_files import read, refusal, write_lines

PAIRS = [{"prompt": 'Say\t"a"', "chosen": "a\nb", "rejected": '"'}, {"prompt": "Q", "chosen": "c", "rejected": "d"}]
TABLE = 'prompt\tchosen\trejected\n"Say\t""a"""\t"a\nb"\t""""\nQ\tc\td\n'


def test_pairs(tmp_path):
    expected = read(PairFile(path=str(write_lines(tmp_path / "a.jsonl", PAIRS))))
    (tmp_path / "list.json").write_text(json.dumps(PAIRS, indent=1), encoding="utf-8")
    write_lines(tmp_path / "lines.json", PAIRS)
    (tmp_path / "marked.json").write_text("\ufeff" + json.dumps(PAIRS), encoding="utf-8")
    (tmp_path / "a.tsv").write_text(TABLE, encoding="utf-8")
    for name in ("list.json", "lines.json", "marked.json", "a.tsv"):
        assert read(PairFile(path=str(tmp_path / name))) == expected, name


def table(file: Path, *rows: str) -> str:
    file.write_text("".join("\t".join(row.split("|")) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_thumbs_in_a_tsv_are_words(tmp_path):
    path = table(tmp_path / "a.tsv", "prompt|completion|label", "Q|a|True", "Q|b|0", "Q|c|yes")
    assert "a.tsv:4: label: expected true or false, found 'yes'" in refusal(ThumbFile(path=path))
    path = table(tmp_path / "a.tsv", "prompt|completion|label", "Q|a|True", "Q|b|0")
    feedback = read(ThumbFile(path=path))
    texts = {one.id: one.text for one in feedback.completions}
    assert {texts[one.completion_id]: one.wanted for one in feedback.ratings} == {"a": True, "b": False}


def test_annotators_in_a_tsv_rank_row_by_row(tmp_path):
    path = table(tmp_path / "a.tsv", "prompt|completion|annotator|rank|number", "Q|a|w|2|11", "Q|b|w|1|11")
    feedback = read(AnnotatedFile(path=path, criterion="taste", held_out_column="number"))
    texts = {one.id: one.text for one in feedback.completions}
    assert [[texts[name] for level in one.levels for name in level] for one in feedback.rankings] == [["b", "a"]]
    assert [one.split for one in feedback.prompts] == ["test"]  # 11 % 10 = 1, below 3


@pytest.mark.parametrize("name", ["a.txt", "a.JSON", "a"])
def test_another_ending_is_told_with_those_there_are(tmp_path, name):
    (tmp_path / name).write_text("{}", encoding="utf-8")
    ending = "unknown ending; use one of .jsonl, .json, .csv, .tsv, .parquet"
    assert refusal(PairFile(path=str(tmp_path / name))) == f"{tmp_path / name}: {ending}"
