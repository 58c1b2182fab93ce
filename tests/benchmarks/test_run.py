"""What benchmarks/run.py keeps of a run, and the instruction sets it asks for. The runs themselves do not run here."""

import json

import pytest

from benchmarks import run
from benchmarks.trials import FIGURES

ROW_KEYS = {
    "seed",
    "seconds",
    "seconds_to_better",
    "helpful_policy",
    "win_rate_low",
    "kl_nats",
    "cpu",
    "reward_labeler_accuracy",
    "reward_accuracy",
}


def test_a_row_has_the_seconds_of_the_whole_command():
    trial = {"seed": 11, "wall_seconds": 99.5} | dict.fromkeys(FIGURES) | {"seconds": 80.0, "helpful_policy": 0.9}
    row = run.row_of(trial)
    assert row.keys() >= ROW_KEYS
    assert (row["seed"], row["seconds"], row["helpful_policy"], row["seconds_to_better"]) == (11, 99.5, 0.9, None)


def test_rows_of_the_other_instruction_set_stay(tmp_path):
    file = tmp_path / "run.json"
    run.keep(file, "avx2", [{"seed": 1}])
    run.keep(file, "avx512", [{"seed": 2}])
    run.keep(file, "avx512", [{"seed": 2}, {"seed": 3}])
    kept = json.loads(file.read_text())
    assert (kept["avx2"], kept["avx512"]) == ([{"seed": 1}], [{"seed": 2}, {"seed": 3}])
    assert {"commit", "date", "machine", "preset"} <= kept.keys()


def test_what_holds_torch_to_avx2_does_not_reach_the_other_runs(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert run.environment_of("avx2")["ATEN_CPU_CAPABILITY"] == "avx2"
    assert "ATEN_CPU_CAPABILITY" not in run.environment_of("avx512")
    assert "PATH" in run.environment_of("avx512")


def test_an_instruction_set_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setitem(run.HELD_TO, "avx512", {"ATEN_CPU_CAPABILITY": "default"})
    with pytest.raises(SystemExit, match="avx512: on this processor torch computes with DEFAULT"):
        run.refuse_what_is_not_there("avx512")
