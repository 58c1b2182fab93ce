"""Against over-optimisation: an ensemble as reward, a judge that nothing was tuned to please, and the policy that it chooses."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.calling import call_rein
from tests.flows.conftest import PROJECT, SMOKE, Workplace
from tests.tolerances import close


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


ENSEMBLE = ("reward.kind=ensemble", "reward.num_members=3", "reward.aggregate=minimum", "tuning.num_updates=1")


def test_a_run_with_an_ensemble(workplace: Workplace, first_report: dict):
    report = workplace.report("rlhf", SMOKE, *ENSEMBLE)
    assert report["stages_run"] == ["drawn-pairs", "reward", "reward-report", "tuning", "matches", "evaluation"]
    made = {name: Path(folder) for name, folder in report["artifacts"].items()}
    members = [file.name for file in sorted(made["reward"].joinpath("model").glob("member-*"))]
    assert members == ["member-1", "member-2", "member-3"]

    feedback = Path(first_report["artifacts"]["labels"])
    training = {row["id"] for row in rows_of(feedback / "prompts.jsonl") if row["split"] == "train"}
    draws = [rows_of(made["drawn-pairs"] / f"pairs-00{number}.jsonl") for number in (1, 2, 3)]
    assert all(len(pairs) > 0 for pairs in draws)
    assert all({row["prompt_id"] for row in pairs} <= training for pairs in draws), "held-out rankings teach nobody"

    told = json.loads((made["reward-report"] / "reward_report.json").read_text(encoding="utf-8"))
    assert report["reward_disagreement"] == told["disagreement"] > 0
    (update,) = rows_of(made["tuning"] / "steps.jsonl")
    assert update["values"]["objective/score_disagreement"] > 0
    steps = rows_of(made["reward"] / "steps.jsonl")
    assert [row["step"] for row in steps] == list(range(len(steps))) and steps[-1]["values"]["member"] == 3
    assert close(report["reward_loss"], steps[-1]["values"]["loss"])
    assert "reward_disagreement" not in first_report


@dataclass(frozen=True)
class OtherStore(Workplace):
    """The same place with another feedback store, so that its batch is in nobody's way."""

    store: str = ""

    @property
    def store_url(self) -> str:
        return self.store


def test_people_are_handed_what_the_members_disagree_on(workplace: Workplace, first_report: dict, tmp_path):
    made = workplace.report("rlhf", SMOKE, *ENSEMBLE)["artifacts"]
    place = OtherStore(workplace.folder, workplace.prefect_url, store=f"sqlite:///{tmp_path}/feedback.db")
    done = place.rein("collect", SMOKE, f"batch.choose={{reward: {made['reward']}/model, num_prompts: 10}}")
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = re.findall(r"^batch to rank by other means: (.+)$", done.stdout, flags=re.MULTILINE)
    sampled, handed_out = (rows_of(Path(one) / "prompts.jsonl") for one in (made["prompts"], folder))
    held_out = [sum(row["split"] != "train" for row in rows) for rows in (sampled, handed_out)]
    assert len(handed_out) == 10 and held_out[1] == round(10 / 40 * held_out[0])
    asked = {row["prompt_id"] for row in rows_of(Path(folder) / "completions.jsonl")}
    assert asked == {row["id"] for row in handed_out}


def test_without_an_independent_judge_nothing_is_said_to_be_better(workplace, first_report):
    done = workplace.rein("rlhf", SMOKE, "evaluation.judges=[{kind: own_reward}]")
    report = workplace.report_of(done)
    assert report["stages_run"] == ["evaluation"] and report["judge"] is None
    assert "win_rate" not in report and report["seconds_to_better"] is None and 0 <= report["own_reward/win_rate"] <= 1
    assert "NO INDEPENDENT JUDGE: nothing here says that the policy got better" in done.stdout
    assert "own_reward: win rate" in done.stdout and "optimistic" in done.stdout


def test_a_judge_chooses_which_policy_is_kept_and_is_told_as_one_that_did(workplace, first_report):
    client = MlflowClient(tracking_uri=workplace.tracking_uri)
    done = workplace.rein("rlhf", SMOKE, "tuning.keep=best", "tuning.sample_every=1", "tuning.num_updates=3")
    report = workplace.report_of(done)
    assert {"tuning", "evaluation"} <= set(report["stages_run"]) <= {"tuning", "matches", "evaluation"}
    told = json.loads(Path(report["artifacts"]["tuning"], "kept.json").read_text(encoding="utf-8"))
    assert told["update"] == report["tuning_kept_update"] in range(4) and not report["tuning_stopped_without_gain"]
    assert report["tuning_kept_by"] == "household_rule"
    judges = report["judges"]
    assert judges["household_rule"]["chose"] and not judges["own_reward"]["chose"]
    assert "it chose the policy, by other prompts" in done.stdout
    assert not first_report["judges"]["household_rule"]["chose"] and "tuning_kept_update" not in first_report
    kept_last = str(first_report["registered_versions"]["rein-policy"])
    asked = (
        "evaluate",
        SMOKE,
        "tuning.keep=best",
        "evaluation.num_samples=1",
        "--policy",
        kept_last,
        "--opponent",
        kept_last,
    )
    evaluated = workplace.report(*asked)
    assert not evaluated["judges"]["household_rule"]["chose"], "nobody chose that one, whatever is set now"
    curve = client.get_metric_history(report["mlflow_run_id"], "checks/household_rule/win_rate")
    assert [point.step for point in curve] == [0, 1, 2, 3] and curve[0].value == 0.5
    assert len(client.get_metric_history(report["mlflow_run_id"], "checks/score")) == 4
    assert report["peak_update"] in range(4) and report["over_optimised"] in (True, False)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.skipif("REIN_DATA" not in os.environ, reason="REIN_DATA names no folder with the E2E rankings")
def test_retraining_on_real_rankings_refuses_a_challenger_that_only_its_own_reward_likes(prefect_url, tmp_path, seed):
    """A base that has never seen a prompt, and next to no penalty: the score rises, the facts are not shown to."""
    workplace = Workplace(tmp_path, prefect_url)
    (tmp_path / ".rein").mkdir()
    rankings = Path(os.environ["REIN_DATA"], "rankings", "e2e_quality.jsonl")
    read = ("criterion=quality", "identical_texts=mean", "systems_column=systems", "held_out_column=mr_id")
    done = call_rein("import", "annotated", str(rankings), *read, "split.test=0", "--store", workplace.store_url)
    assert done.returncode == 0, done.stderr
    small = ("base.hidden_size=96", "base.num_layers=2", "pretraining.num_epochs=1", "sft=null", "reward.num_epochs=1")
    greedy = ("tuning.num_updates=16", "tuning.keep=last", "tuning.kl.coef=0.001", "tuning.learning_rate=1.0e-3")
    judges = "evaluation.judges=[{kind: restaurant_facts}, {kind: own_reward}]"
    asked = (
        f"seed={seed}",
        "labels={kind: store, criterion: quality}",
        *small,
        *greedy,
        judges,
        "evaluation.references=null",
    )
    report = workplace.report("retrain", PROJECT / "deployments" / "e2e.yaml", *asked)
    assert report["own_reward/win_rate_low"] > 0.5 > report["restaurant_facts/win_rate_low"]
    assert report["challenge_judge"] == "restaurant_facts" and report["promoted"] is False
    assert [check["name"] for check in report["promotion_checks"] if not check["holds"]] == ["win rate"]
