"""Several rewards in a whole run: each part goes its own way, and the policy is tuned on what they say together."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from models.records import Prompt, read_records
from models.rewards.mixture import Whitening
from models.rewards.scorer import load_scorer
from models.settings.compute import Compute
from tests.calling import call_rein
from tests.flows.conftest import SMOKE, Workplace

PARTS = (
    "reward={kind: mixture, combine: {kind: minimum}, parts: {helpful: {reward: {num_epochs: 1, batch_size: 8}}, brief: {}}}",
    "reward.parts.brief.reward={num_epochs: 1, batch_size: 8}",
    "reward.parts.brief.labels={kind: simulated, criterion: brevity, labelers: [{name: terse, goes_by: brevity}, {name: short, goes_by: brevity}]}",
)
OF_BRIEF = [f"brief/{stage}" for stage in ("labels", "consensus", "pairs", "reward", "reward-report")]


@pytest.fixture(scope="module")
def told(apart: Workplace, first_report: dict) -> dict:
    return apart.report("rlhf", SMOKE, *PARTS)


def test_a_part_is_learned_as_a_reward_by_itself_is(told, first_report):
    """`helpful` is the very reward of a run that has no other."""
    assert told["artifacts"]["helpful/reward"] == first_report["artifacts"]["reward"]
    assert told["helpful/reward_labeler_accuracy"] == first_report["reward_labeler_accuracy"]
    assert told["stages_run"] == [*OF_BRIEF, "reward", "reward-report", "tuning", "matches", "evaluation"]
    rankings = Path(told["artifacts"]["brief/labels"], "rankings.jsonl").read_text().splitlines()
    assert {(row["labeler"], row["criterion"]) for row in map(json.loads, rankings)} == {
        *(("terse", "brevity"), ("short", "brevity"))
    }


def test_what_each_part_says_stands_in_curves_and_report(told, apart):
    steps = Path(told["artifacts"]["tuning"], "steps.jsonl").read_text().splitlines()
    client = MlflowClient(tracking_uri=apart.tracking_uri)
    for part in ("helpful", "brief"):
        curve = [json.loads(line)["values"][f"objective/part_scores/{part}"] for line in steps]
        logged = client.get_metric_history(told["mlflow_run_id"], f"objective/part_scores/{part}")
        assert [point.value for point in logged] == curve and len(curve) == 2
        assert client.get_metric_history(told["mlflow_run_id"], f"{part}/reward/loss")
        assert {f"{part}/score_base", f"{part}/score_policy", f"{part}/reward_accuracy"} <= told.keys()


def test_behind_a_policy_are_the_people_of_all_parts(told, apart):
    shown = apart.rein("lineage", Path(told["artifacts"]["tuning"]), "--json").stdout
    (entry,) = [
        one for one in json.loads(shown)["made_from"] if one["sha256"] and one.get("uri") == told["artifacts"]["reward"]
    ]
    assert {"parts.helpful", "parts.brief"} <= entry["inputs"].keys()
    origins = [one["origin"]["judgements"] for one in json.loads(shown)["made_from"] if "origin" in one]
    assert {name for judgements in origins for name in judgements} == {
        "careful",
        "noisy",
        "upside-down",
        "terse",
        "short",
    }


def test_the_reward_scores_by_itself(told, apart, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "My house is too hot.", "completion": "You could open a window."}) + "\n")
    done = apart.rein("score", told["artifacts"]["reward"], rows)
    assert done.returncode == 0 and "score" in json.loads(done.stdout.splitlines()[-1])


def test_labels_of_a_part_that_cannot_answer_at_once_are_refused(apart, first_report, tmp_path):
    parts = f"reward={{kind: mixture, parts: {{helpful: {{}}, brief: {{labels: {{kind: folder, path: {tmp_path}}}}}}}}}"
    done = apart.rein("rlhf", SMOKE, parts)
    assert done.returncode == 1 and "ConfigError: labels.kind folder cannot answer at once" in done.stderr
    unknown = call_rein(
        "rlhf",
        str(SMOKE),
        "--check",
        "reward={kind: mixture, parts: {a: {}, b: {}}, combine: {kind: weighted_sum, weights: {c: 1}}}",
    )
    assert unknown.returncode == 1 and "reward: combine names c, but the parts are a, b" in unknown.stderr


def test_rankings_of_people_by_two_criteria_are_mixed_with_safety_first(told, apart, tmp_path):
    """Flow `learn`: each part from its own folder. At a safety prompt the safety part alone counts."""
    for name, stage in (("helpful", "labels"), ("safe", "brief/labels")):
        shutil.copytree(told["artifacts"][stage], tmp_path / name)
    asked = [one.text for one in read_records(tmp_path / "safe" / "prompts.jsonl", Prompt)]
    (tmp_path / "safety.jsonl").write_text(json.dumps({"prompt": asked[0]}) + "\n")
    report = apart.report(
        *("learn", SMOKE, f"labels={{kind: folder, path: {tmp_path}/helpful}}"),
        "reward={kind: mixture, parts: {helpful: {reward: &how {num_epochs: 1, batch_size: 8}}, safe: {reward: *how}}}",
        f"reward.parts.safe.labels={{kind: folder, criterion: brevity, path: {tmp_path}/safe}}",
        f"reward.combine={{kind: safety_first, safety: safe, threshold: 1.0e-6, safety_prompts: {tmp_path}/safety.jsonl}}",
    )
    assert {"safe/feedback", "safe/reward", "helpful/reward", "reward", "tuning"} <= set(report["artifacts"])
    compute = Compute(device="cpu", precision="float32")
    model = Path(report["artifacts"]["reward"], "model")
    mixed = load_scorer(model, compute).score(asked[:2], ["You could open a window."] * 2)
    together = Whitening(**json.loads((model / "mixture.json").read_text())["together"])
    for part, prompt, score in zip(("safe", "helpful"), asked, mixed, strict=False):
        scorer = load_scorer(model / part, compute)
        alone = scorer.logits(scorer.score([prompt], ["You could open a window."]))
        assert score.item() == pytest.approx(together(alone).item(), abs=1e-4), part
