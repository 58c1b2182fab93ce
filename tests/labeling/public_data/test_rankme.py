"""RankME's tables, in rows that were made up."""

import json

import pytest

from labeling.public_data.rankme import FILE, RANKME, RANKME_REPOSITORY, convert
from labeling.public_data.repositories import RepositoryFiles
from models.errors import DataError
from models.settings.labels import AnnotatedFile
from tests.labeling.importers.feedback_files import read, write_lines
from tests.labeling.public_data.raw_files import RIVER, as_folders, rankme_files


def converted(tmp_path, files: dict[str, bytes]) -> list[dict]:
    as_folders({"RankME": files}, tmp_path)
    content = convert([RepositoryFiles(RANKME_REPOSITORY, "RankME", tmp_path / "RankME", "")])[FILE]
    return [json.loads(line) for line in content.decode().splitlines()]


def test_a_row_for_each_setup_criterion_and_prompt(tmp_path):
    """The second worker saw slug2slug 80, baseline 80, sheffield_v2 30: in the order of the names 80 30 80, ranks 1 3 1."""
    rows = converted(tmp_path, rankme_files()["RankME"])
    criteria = ("quality", "naturalness", "informativeness")
    assert [(row["setup"], row["criterion"]) for row in rows] == [
        (setup, criterion) for setup in ("separate", "joint") for criterion in criteria
    ]
    assert rows[0] == {
        **{"id": "rankme-separate-quality-001", "setup": "separate", "criterion": "quality", "mr_id": 1},
        **{"prompt": RIVER, "systems": ["baseline", "sheffield_v2", "slug2slug"]},
        "completions": ["A pub.", "The Kettle, pub.", "It is a pub."],
        "annotations": [
            {"annotator": "w001", "scores": [100.0, 70.0, 50.0], "ranks": [1, 2, 3]},
            {"annotator": "w002", "scores": [80.0, 30.0, 80.0], "ranks": [1, 3, 1]},
        ],
    }
    assert all(row["annotations"] == rows[0]["annotations"] for row in rows)


def test_the_preset_reads_it(tmp_path):
    file = write_lines(tmp_path / "ranked.jsonl", converted(tmp_path, rankme_files()["RankME"]))
    more = {"where": {"criterion": "quality"}, "session_column": "setup", "held_out_column": "mr_id"}
    feedback = read(AnnotatedFile(path=str(file), criterion="quality", identical_texts="mean", **more))
    assert (len(feedback.rankings), {one.session for one in feedback.rankings}) == (4, {"separate", "joint"})


def test_what_is_missing_is_named(tmp_path):
    files = rankme_files()["RankME"]
    broken = files | {"data/data/stp2_rankME_nat.zip": files["data/data/stp2_rankME_qual.zip"]}
    said = r"^data/data/stp2_rankME_nat.zip: no column naturalness1, naturalness2, naturalness3; it has _unit_id, "
    with pytest.raises(DataError, match=said):
        converted(tmp_path, broken)
    with pytest.raises(DataError, match=r"^data/data/stp2_rankME_inf.zip: it is no zip archive$"):
        converted(tmp_path, files | {"data/data/stp2_rankME_inf.zip": b"PK"})
    (tmp_path / "RankME/data/data/stp1_rankME.zip").unlink()
    del files["data/data/stp1_rankME.zip"]
    with pytest.raises(DataError, match=r"^RankME: no file data/data/stp1_rankME.zip in it$"):
        converted(tmp_path, files)
    assert RANKME.files == (FILE,)
