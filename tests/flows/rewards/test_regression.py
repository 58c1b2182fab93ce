"""A reward that is fitted to strengths, in a run: it reads what each labeler said, and is trained again when that changes."""

import json
import shutil
from pathlib import Path

from tests.flows.conftest import SMOKE, Workplace


def read_rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write_rows(file: Path, rows: list[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_one_more_labeler_who_agrees_is_learned_from_though_the_pairs_stay(apart: Workplace, first_report, tmp_path):
    folder = tmp_path / "said"
    shutil.copytree(first_report["artifacts"]["labels"], folder)
    said = [
        row for row in read_rows(folder / "rankings.jsonl") if row["labeler"] == "noisy"
    ]  # to the others all of so small a base is unusable
    of_each = {name: [row | {"labeler": name, "id": None} for row in said] for name in ("ann", "ben", "cem")}
    asked = ("reward", SMOKE, f"labels={{kind: folder, path: {folder}}}", "reward.kind=regression")
    write_rows(folder / "rankings.jsonl", of_each["ann"] + of_each["ben"])
    first = apart.report(*asked)
    assert first["stages_run"][-2:] == ["reward", "reward-report"]
    assert 0 < first["reward_loss"] < 1.2, "in shares of the targets' mean square"
    write_rows(folder / "rankings.jsonl", [row for own in of_each.values() for row in own])
    again = apart.report(*asked)
    pairs = [read_rows(Path(report["artifacts"]["pairs"], "pairs.jsonl")) for report in (first, again)]
    assert pairs[0] == pairs[1] and "reward" in again["stages_run"]
