"""A language model as the reward of a whole run, and another one as its judge."""

import json
from pathlib import Path

import pytest

from flows.rlhf import rlhf
from models.errors import ConfigError
from models.settings.presets import load_config
from tests.flows.conftest import SMOKE, Workplace
from tests.models.judge_server import chat, longer_is_better, serving, shown
from tests.tolerances import close

MODEL = "model: {{kind: endpoint, address: '{address}', model: {name}, backoff_seconds: 0.01}}"


def grades_by_length(body: dict) -> dict:
    """Surely the last digit of its length, to the model that is the reward; to the other one the longer is better."""
    if body["model"] == "judge":
        return longer_is_better(body)
    digit = str(len(shown(body)[0]) % 10) if shown(body) else "1"
    return chat(digit, {digit: 1.0})


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_policy_is_tuned_on_what_one_model_thinks_and_judged_by_another(apart: Workplace, first_report):
    with serving(grades_by_length) as server:
        reward, judge = (MODEL.format(address=server.address, name=name) for name in ("reward", "judge"))
        report = apart.report(
            *("rlhf", SMOKE, f"reward={{kind: judge, {reward}}}"),
            f"evaluation.judges=[{{kind: ai, {judge}}}, {{kind: household_rule}}]",
        )
    assert report["stages_run"] == ["reward", "reward-report", "tuning", "matches", "evaluation"]
    samples = rows_of(Path(report["artifacts"]["matches"], "samples.jsonl"))
    assert samples
    for sample in samples:
        assert close(sample["policy_score"], (len(sample["policy_completion"]) % 10 - 4.5) / 4.5, 1e-5)
    said = report["judges"]["ai"]
    assert report["judge"] == "ai" and said["independent"] and "language model" in said["learned_from"]
    assert report["win_rate"] == said["win_rate"] and (said["position_bias"], said["unreadable"]) == (0, 0)
    meetings = rows_of(Path(report["artifacts"]["evaluation"], "meetings.jsonl"))
    assert {one["judge"] for one in meetings} == {"ai judge", "household_rule"}


def test_a_reward_needs_probabilities_and_says_so_before_anything_is_made(apart: Workplace, first_report):
    made = sorted((apart.root / "artifacts").glob("*"))
    with serving(lambda body: chat("1")) as server:
        reward = MODEL.format(address=server.address, name="reward")
        overrides = [f"reward={{kind: judge, {reward}}}", "pretraining.learning_rate=1.5e-3"]
        with apart.prefect(), pytest.raises(ConfigError, match="'reward' tells no log-probabilities of its answers"):
            rlhf(load_config(SMOKE, [*overrides, *apart.where(("rlhf",))]))
    assert sorted((apart.root / "artifacts").glob("*")) == made
