"""`rein score` and `rein chat` on versions that a run has registered."""

import io
import json
import sys
from pathlib import Path

import pytest

SINK = "My sink is leaking."


def test_the_registered_reward_gives_its_matches_the_scores_that_the_run_gave(workplace, first_report, tmp_path):
    samples = Path(first_report["artifacts"]["matches"], "samples.jsonl").read_text(encoding="utf-8").splitlines()
    matches = [json.loads(line) for line in samples]
    rows = [{"prompt": one["prompt"], "completion": one["policy_completion"]} for one in matches]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    version = first_report["registered_versions"]["rein-reward"]
    for named in (version, f"reward@{version}", first_report["artifacts"]["reward"]):
        done = workplace.rein("score", str(named), tmp_path / "rows.jsonl")
        assert done.returncode == 0, done.stderr
        scores = [json.loads(line)["score"] for line in done.stdout.splitlines()]
        assert scores == pytest.approx([one["policy_score"] for one in matches], abs=0.05)


def test_the_registered_policy_is_tried_beside_its_base(workplace, first_report, monkeypatch):
    version = first_report["registered_versions"]["rein-policy"]
    for named in (f"policy@{version}", first_report["artifacts"]["tuning"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{SINK}\n"))
        done = workplace.rein("chat", named)
        assert done.returncode == 0, done.stderr
        heads = [line for line in done.stdout.splitlines() if not line.startswith("    ")]
        assert heads[0] == f"> {SINK}" and [head.partition(", score ")[0] for head in heads[1:]] == ["base", "policy"]


@pytest.mark.parametrize("named", ["nobody", "reward@999", "rein-policie@1"])
def test_a_version_that_is_not_there_is_named(workplace, first_report, tmp_path, named):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    done = workplace.rein("score", named, tmp_path / "rows.jsonl")
    assert done.returncode == 1 and "DataError: " in done.stderr
    assert f"@{named.rpartition('@')[2]}: {workplace.tracking_uri} has no model of this name" in done.stderr
