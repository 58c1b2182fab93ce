"""Whole runs of the smallest preset with the tuners that do not learn from a rollout at a time: DPO, rejection sampling, best of n."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.flows.conftest import SMOKE, Workplace

DPO = "{kind: dpo, num_epochs: 1, batch_size: 8, learning_rate: 1.0e-3, min_reward_accuracy: 0, keep: last}"
REJECTION_SAMPLING = (
    "{kind: rejection_sampling, num_iterations: 2, num_samples: 2, min_reward_accuracy: 0, keep: last, "
    "sft: {batch_size: 16, learning_rate: 1.0e-3}}"
)
TUNED = ["tuning", "matches", "evaluation"]


@pytest.fixture
def report(apart: Workplace, first_report: dict) -> Callable[..., dict]:
    """A run of the smallest preset with other settings; what they do not touch comes from the cache."""
    return partial(apart.report, "rlhf", SMOKE)


def made(report: dict) -> dict:
    return json.loads(Path(report["artifacts"]["tuning"], "manifest.json").read_text(encoding="utf-8"))["made"]


def steps_of(report: dict) -> list[dict]:
    lines = Path(report["artifacts"]["tuning"], "steps.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["values"] for line in lines]


def test_dpo(report):
    told = report(f"tuning={DPO}")
    assert {"pairs", "completions"} <= made(told)["inputs"].keys()
    steps = steps_of(told)
    assert len(steps) == told["tuning_updates"] and all("rewards/margins" in step for step in steps)
    assert abs(steps[0]["rewards/margins"]) < 1e-3 and told["kl_nats"] != 0


def test_what_does_not_read_pairs_is_not_handed_any(first_report):
    assert {"pairs", "completions"}.isdisjoint(made(first_report)["inputs"])


def test_rejection_sampling_and_ppo_on_top_of_it(report):
    alone = report(f"tuning={REJECTION_SAMPLING}")
    assert [step["val/prompts_without_winner"] >= 0 for step in steps_of(alone)] == [True, True]
    told = report(f"first_tuning={REJECTION_SAMPLING}")
    assert told["stages_run"] == TUNED and told["stages_cached"][-1] == "first_tuning/tuning", (
        "its policy is found in the cache"
    )
    inputs = made(told)["inputs"]
    manifest = json.loads(Path(alone["artifacts"]["tuning"], "manifest.json").read_text(encoding="utf-8"))
    assert inputs["base"]["sha256"] == manifest["artifact"]["sha256"], "PPO starts from it"
    assert told["tuning_updates"] == 2 and "objective/kl" in steps_of(told)[0]
    base, start = (
        load_file(Path(one, "model", "model.safetensors"))
        for one in (told["artifacts"]["sft"], alone["artifacts"]["tuning"])
    )
    assert any(not weight.equal(start[name]) for name, weight in base.items())
    assert told["helpful_base"] == alone["helpful_base"], "both are compared with the base"


def test_best_of_n(report, apart):
    told = report("tuning={kind: best_of_n, n: 3, min_reward_accuracy: 0}")
    assert told["kl_nats"] == pytest.approx(math.log(3) - 2 / 3) and told["kl_nats_is_bound"]
    assert told["score_policy"] > told["score_base"]
    model = Path(told["artifacts"]["tuning"], "model")
    assert not (model / "config.json").exists() and json.loads((model / "best_of_n.json").read_text()) == {"n": 3}
    assert "apart-policy" in told["registered_versions"]
