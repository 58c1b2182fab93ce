"""What is made of raw tables has the layout of real files that were cut from the same repositories; and is these files, where raw
tables are written from them."""

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from labeling.public_data.data_set import DataSet, fill
from labeling.public_data.e2e import E2E, TEXTS
from labeling.public_data.rankme import RANKME
from tests.labeling.public_data.raw_files import as_folders, csv_of, e2e_files, rankme_files, rating, ratings

DATA = Path(os.environ.get("REIN_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="REIN_DATA is not set: no folder with real rankings")


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def layout(value: Any) -> Any:
    """Columns in order and the types in them; of a list, those that occur in it."""
    if isinstance(value, dict):
        return [(name, layout(one)) for name, one in value.items()]
    if isinstance(value, list):
        return sorted({repr(layout(one)) for one in value})
    return type(value).__name__


@pytest.mark.parametrize("data", [E2E, RANKME], ids=lambda data: data.name)
def test_the_layout_is_that_of_the_real_files(tmp_path, data: DataSet):
    """Columns, their order and their types in each row."""
    fill(data, tmp_path / "data", as_folders(e2e_files() | rankme_files(), tmp_path / "copies"))
    for name in data.files:
        made, real = rows_of(tmp_path / "data" / name), rows_of(DATA / name)
        assert {repr(layout(row)) for row in made} == {repr(layout(row)) for row in real}, name


def raw_ratings(criterion: str, prefix: str) -> bytes:
    """The table of ratings that the real file is of, as far as the file tells; workers have other ids there."""
    raw = []
    for row in rows_of(DATA / f"rankings/e2e_{criterion}.jsonl"):
        shown = {
            "prompt": row["prompt"],
            "number": row["mr_id"],
            "texts": row["completions"],
            "systems": row["systems"],
        }
        for said in row["annotations"]:
            checks = ["\n".join(one) for one in said.get("checks", ())]
            unit = int(row["id"].rpartition("-")[2])
            raw.append(rating(prefix, unit, f"4{said['annotator']}", said["scores"], checks, **shown))
    return ratings(prefix, raw)


def raw_outputs() -> dict[str, bytes]:
    teams: dict[str, list[str]] = {}
    for row in rows_of(DATA / "e2e/system_outputs.jsonl"):
        teams.setdefault(row["system"], []).append(f'"{row["prompt"]}"\t"{row["completion"]}"\n')
    return {f"system_outputs/all/{team}/handed in.tsv": "".join(lines).encode() for team, lines in teams.items()}


def raw_references(name: str, **form) -> bytes:
    rows = [{"mr": row["prompt"], "ref": row["completion"]} for row in rows_of(DATA / "e2e" / name)]
    return csv_of(["mr", "ref"], rows, **form)


def test_the_real_files_come_out_of_raw_tables_that_hold_them(tmp_path):
    """The two tables of references are the published ones, byte for byte; the others are those lines of which the files are known."""
    texts = {
        "devset.csv": raw_references("demonstrations_dev.jsonl"),
        "testset_w_refs.csv": raw_references("references_test.jsonl", lineterminator="\n", quoting=csv.QUOTE_ALL),
    }
    assert {name: hashlib.sha256(content).hexdigest() for name, content in texts.items()} == TEXTS.sha256
    tables = {
        f"human_ratings/{criterion}.csv": raw_ratings(criterion, prefix)
        for criterion, prefix in (("quality", "quality"), ("naturalness", "natur"))
    }
    copies = as_folders({"e2e-dataset": texts, "e2e-eval": tables | raw_outputs()}, tmp_path / "copies")
    filled = fill(E2E, tmp_path / "data", copies)
    assert filled.unlike_the_known == []
    for name in E2E.files:
        assert rows_of(tmp_path / "data" / name) == rows_of(DATA / name), name
