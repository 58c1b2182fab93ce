"""Flow `rlhf` for real: what a run leaves behind, and what the next one does not do again."""

import json
import math
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from models.processor import describe_processor
from tasks.judging.evaluation import evaluate_policy, play_held_out
from tasks.judging.reward_report import report_on_reward
from tasks.running import code_digest, stage
from tasks.stages.consensus import agree_on_rankings
from tasks.stages.pairs import convert_to_pairs
from tasks.stages.reward import train_reward_model
from tasks.stages.tuning import tune_policy
from tests.flows.conftest import PROJECT, SMOKE, Workplace

STAGES = [
    *("texts", "base-model", "prompts", "demonstrations", "pretraining", "sft", "completions", "labels"),
    *("consensus", "pairs", "reward", "reward-report", "tuning", "matches", "evaluation"),
]


@pytest.fixture(scope="module")
def client(workplace: Workplace, first_report: dict) -> MlflowClient:
    return MlflowClient(tracking_uri=workplace.tracking_uri)


def test_the_report_has_what_is_promised(first_report):
    promised = {
        *("reward_accuracy", "win_rate", "win_rate_low", "helpful_base", "helpful_policy", "kl_nats", "end_rate"),
        *("distinct_completions", "krippendorff_alpha", "seconds", "stages_run", "stages_cached"),
        *("reward_labeler_accuracy", "reward_labeler_ceiling", "percent_agreement", "leave_one_out_agreement"),
    }
    assert promised <= first_report.keys()
    order = list(first_report)
    assert order.index("reward_labeler_accuracy") < order.index("reward_accuracy")
    assert first_report["stages_run"] == STAGES and first_report["stages_cached"] == []
    assert 0 <= first_report["win_rate_low"] <= first_report["win_rate"] <= 1
    assert first_report["simulated_labelers"] is True
    assert first_report["seconds_to_better"] is None, "two updates make nothing better"
    assert first_report["cpu"] == describe_processor()


def test_the_result_is_the_word_of_what_nothing_was_tuned_to_please(first_report, client):
    judges = first_report["judges"]
    assert first_report["judge"] == "household_rule" and list(judges) == ["household_rule", "own_reward"]
    assert first_report["win_rate"] == judges["household_rule"]["win_rate"]
    assert judges["household_rule"]["learned_from"] == "nothing" and not judges["own_reward"]["independent"]
    numbers = client.get_run(first_report["mlflow_run_id"]).data.metrics
    assert numbers["own_reward/win_rate_low"] == pytest.approx(judges["own_reward"]["win_rate_low"])


def test_the_models_load_without_rein(first_report):
    policy = AutoModelForCausalLM.from_pretrained(f"{first_report['artifacts']['tuning']}/model")
    reward = AutoModelForSequenceClassification.from_pretrained(f"{first_report['artifacts']['reward']}/model")
    assert policy.num_parameters() == first_report["base_parameters"]
    assert reward.config.num_labels == 1 and math.isfinite(reward.config.score_mean) and reward.config.score_std > 0


def test_mlflow_has_the_run_with_its_stages(client, first_report):
    parent = client.get_run(first_report["mlflow_run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["prefect.flow_run_id"] == first_report["prefect_flow_run_id"]
    assert parent.data.params["tuning.kl.coef"] == "0.05" and parent.data.params["seed"] == "0"
    for figure in ("reward_labeler_accuracy", "reward_accuracy", "percent_agreement", "win_rate", "kl_nats", "seconds"):
        assert parent.data.metrics[figure] == pytest.approx(first_report[figure], rel=1e-12)
    assert {given.dataset.name for given in parent.inputs.dataset_inputs} == {
        *("texts", "demonstrations", "prompts", "feedback")
    }
    assert len(parent.outputs.model_outputs) == 2  # reward model and policy
    assert not any(value.startswith("None") for value in parent.data.tags.values())
    stages = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", order_by=["start_time"]
    )
    assert [run.data.tags["rein.stage"] for run in stages] == STAGES
    assert {run.info.status for run in stages} == {"FINISHED"}
    table = json.loads(Path(client.download_artifacts(parent.info.run_id, "samples.json")).read_text())
    assert {"prompt", "base_completion", "policy_completion", "policy_score", "kl_nats"} <= set(table["columns"])
    assert len(table["data"]) == 2 * first_report["held_out_prompts"]
    assert table["columns"][:3] == [
        "prompt",
        "policy_completion",
        "base_completion",
    ]  # the second is compared by default
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= {
        *("config.yaml", "report.json", "lineage.md")
    }
    assert parent.data.tags["rein.stages_run"] == ", ".join(STAGES)
    for name, number in first_report["registered_versions"].items():
        text = client.get_model_version(name, str(number)).description
        assert first_report["prefect_flow_run_id"] in text and "were **simulated**" in text
        labelers, consensus = (
            text.index(f"| {figure} | {first_report[figure]:.4g} |")
            for figure in ("reward_labeler_accuracy", "reward_accuracy")
        )
        assert labelers < consensus, "what people said themselves goes before their consensus"


def assert_curves_and_plots(client: MlflowClient, run_id: str) -> None:
    """Those of training, on the flow's own run, where MLflow's charts compare them."""
    for name in ("objective/kl", "objective/scores", "objective/entropy", "policy/approxkl_avg", "lr", "episode"):
        assert [point.step for point in client.get_metric_history(run_id, name)] == [0, 1], name
    for name in ("pretraining/loss", "sft/loss", "reward/loss", "reward/accuracy"):
        assert len(client.get_metric_history(run_id, name)) > 1, name
    for file in client.list_artifacts(run_id, "plots"):
        assert Path(client.download_artifacts(run_id, file.path)).read_bytes().startswith(b"\x89PNG")
    plots = {file.path for file in client.list_artifacts(run_id, "plots")}
    drawn = ("tuning_by_update", "tuning_score_against_kl", "checks")
    assert plots == {f"plots/{name}.png" for name in drawn}


def test_the_flows_own_run_has_the_curves(client, first_report):
    assert_curves_and_plots(client, first_report["mlflow_run_id"])
    assert client.get_metric_history(first_report["mlflow_run_id"], "system/cpu_utilization_percentage")


def test_mlflow_has_every_update_of_ppo_and_what_it_read(client, first_report):
    parent = client.get_run(first_report["mlflow_run_id"])
    runs = client.search_runs([parent.info.experiment_id], "tags.`rein.stage` = 'tuning'", order_by=["start_time"])
    run = runs[0]
    per_update = {
        *("objective/kl", "objective/kl_k3", "objective/scores", "objective/rlhf_reward", "objective/entropy"),
        *("policy/clipfrac_avg", "val/clipfrac_avg", "policy/approxkl_avg", "loss/policy_avg", "loss/value_avg"),
        *("val/explained_variance", "val/completion_length", "val/end_rate", "tokens_per_second"),
    }
    for metric in per_update:
        assert [point.step for point in client.get_metric_history(run.info.run_id, metric)] == [0, 1], metric
    read = {given.dataset.name for given in run.inputs.dataset_inputs}
    assert read == {"language-model", "reward-model", "feedback"}


def test_both_models_are_registered(client, first_report):
    for name, made_by in (("rein-reward", "reward"), ("rein-policy", "tuning")):
        version = client.get_model_version(name, str(first_report["registered_versions"][name]))
        manifest = json.loads(Path(first_report["artifacts"][made_by], "manifest.json").read_text())
        assert version.tags["rein.sha256"] == manifest["artifact"]["sha256"]
        model = client.get_logged_model(version.source.removeprefix("models:/"))
        assert model.source_run_id == manifest["artifact"]["run_id"] and model.status == "READY"


def test_the_resolved_config_is_kept(workplace, first_report):
    kept = workplace.root / "reports" / first_report["prefect_flow_run_id"] / "config.yaml"
    assert workplace.rein("rlhf", kept, "--check").returncode == 0


def test_the_same_again_is_all_cached(workplace, first_report, client):
    again = workplace.report("rlhf", SMOKE)
    assert again["stages_cached"] == STAGES and again["stages_run"] == []
    for figure in ("reward_accuracy", "win_rate", "kl_nats", "krippendorff_alpha"):
        assert again[figure] == first_report[figure]
    assert again["registered_versions"] == first_report["registered_versions"]  # not registered twice
    for name, number in again["registered_versions"].items():
        assert int(client.get_model_version_by_alias(name, "challenger").version) == number
    parent = client.get_run(again["mlflow_run_id"])
    assert parent.data.metrics["kl_nats"] == pytest.approx(first_report["kl_nats"])
    assert_curves_and_plots(client, again["mlflow_run_id"])
    assert parent.data.tags["rein.stages_run"] == "none"
    changed = parent.data.tags["rein.changed"]
    assert re.fullmatch(r".+, since rlhf smoke.*\([\w-]+\)", changed)  # other tests have run flows here, too
    assert parent.data.tags["mlflow.note.content"].startswith(
        f"**{again['result']}**\n\nwin_rate {again['win_rate']:.3g}, "
    )
    assert parent.data.tags["rein.result"] == again["result"] and again["result"].startswith("NOT SHOWN")


@pytest.fixture(scope="module")
def lora_report(workplace: Workplace, first_report: dict) -> dict:
    return workplace.report("rlhf", SMOKE, "tuning.lora={rank: 2}")


def test_one_changed_setting_runs_ppo_and_what_follows(lora_report):
    assert lora_report["stages_run"] == ["tuning", "matches", "evaluation"]


def test_a_policy_tuned_through_lora_is_an_ordinary_one_with_its_adapter_beside_it(first_report, lora_report):
    folder = Path(lora_report["artifacts"]["tuning"])
    policy = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert policy.num_parameters() == first_report["base_parameters"]
    base = AutoModelForCausalLM.from_pretrained(f"{first_report['artifacts']['sft']}/model")
    changed = [
        name
        for (name, weight), before in zip(policy.named_parameters(), base.parameters(), strict=True)
        if not torch.equal(weight, before)
    ]
    assert len(changed) == 2 * 7 and all(name.endswith("_proj.weight") for name in changed)
    # rank 2 on each of two blocks: four matrices of 32 x 32, three between 32 and 96
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert sum(weight.numel() for weight in adapter.values()) == 2 * 2 * (4 * (32 + 32) + 3 * (32 + 96))


def test_ppo_takes_its_options_and_their_text_is_read_first(workplace, first_report, client):
    report = workplace.report(
        "rlhf",
        SMOKE,
        "tuning.ptx={source: {kind: household, num_rows: 50}, coef: 1, batch_size: 4}",
        *("tuning.value_warmup_updates=1", "tuning.score_clip=3", "tuning.whiten_rewards=true"),
        *("tuning.policy_ema=0.9", "tuning.target_kl=0.1"),
    )
    assert report["stages_run"] == ["tuning-texts", "tuning", "matches", "evaluation"]
    made = list(report["artifacts"])
    assert made.index("tuning-texts") < made.index("pretraining"), "data is read before anything is trained"
    manifest = json.loads(Path(report["artifacts"]["tuning"], "manifest.json").read_text())
    run_id = manifest["artifact"]["run_id"]
    assert [point.step for point in client.get_metric_history(run_id, "loss/ptx")] == [1]
    assert [point.step for point in client.get_metric_history(run_id, "objective/score_clipfrac")] == [0, 1]
    read = {given.dataset.name for given in client.get_run(run_id).inputs.dataset_inputs}
    assert read == {"language-model", "reward-model", "feedback", "texts"}


@pytest.fixture
def copied_code(tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of the project's code, from which the digests in the cache keys are taken meanwhile."""
    for package in code_digest.PACKAGES:
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_digest, "PROJECT", tmp_path)
    code_digest.code_digest.cache_clear()
    yield tmp_path
    code_digest.code_digest.cache_clear()


def test_edited_code_runs_the_stages_that_use_it(workplace, first_report, copied_code):
    loop = copied_code / "models" / "tuning" / "online" / "optimizer.py"
    before = loop.read_text(encoding="utf-8")
    loop.write_text(before.replace("eps=1e-5", "eps=1e-3"), encoding="utf-8")
    assert loop.read_text(encoding="utf-8") != before
    report = workplace.report("rlhf", SMOKE)
    assert report["stages_run"] == ["tuning"]  # by the code that this process has imported, and so to the same policy


def test_a_deleted_file_runs_its_stage_again(workplace, first_report):
    (Path(first_report["artifacts"]["pairs"]) / "pairs.jsonl").unlink()
    damaged = workplace.root / "artifacts" / "of-another-run"
    damaged.mkdir()
    (damaged / "manifest.json").write_text("{}")
    done = workplace.rein("rlhf", SMOKE)
    shutil.rmtree(damaged)
    again = workplace.report_of(done)
    assert again["stages_run"] == ["pairs"]  # it gives the same pairs, so that nothing after it has to run
    assert f"no lineage: {damaged}: no readable manifest.json" in done.stderr
    assert not Path(again["path"]).with_name("lineage.md").exists()
    assert again["reward_accuracy"] == first_report["reward_accuracy"]


@pytest.fixture
def opened(monkeypatch) -> tuple[list[tuple[str, str, str]], set[tuple[str, str]]]:
    """Stage, input and file of everything that stages open meanwhile of artifacts of which they say what they read; and stage and input of
    all that they are given."""
    found, given_to, current = [], set(), []

    def hear(event: str, arguments: tuple) -> None:
        if event == "open" and current and isinstance(arguments[0], str | Path):
            traits, inputs = current[-1]
            for name in traits.reads:
                given = inputs.get(name)
                if given and given.folder in Path(arguments[0]).parents:
                    found.append((traits.name, name, Path(arguments[0]).relative_to(given.folder).as_posix()))

    sys.addaudithook(hear)  # there is no taking it away; it hears nothing after this
    execute = stage._execute

    def heard(body, traits, key, run, inputs):
        current.append((traits, inputs))
        given_to.update((traits.name, name) for name, value in inputs.items() if value is not None)
        try:
            return execute(body, traits, key, run, inputs)
        finally:
            current.pop()

    monkeypatch.setattr(stage, "_execute", heard)
    return found, given_to


def test_another_seed_is_another_run_and_stages_read_what_they_say(workplace, first_report, opened):
    other = workplace.report("rlhf", SMOKE, "seed=1", "tuning.num_updates=1")
    assert other["stages_run"] == STAGES
    found, given_to = opened
    said = {
        (one.traits.name, name, file)
        for one in (
            train_reward_model,
            report_on_reward,
            tune_policy,
            play_held_out,
            evaluate_policy,
            agree_on_rankings,
            convert_to_pairs,
        )
        for name, files in one.traits.reads.items()
        for file in files
        if (one.traits.name, name) in given_to
    }
    single = {
        ("consensus", "ratings.jsonl"),
        ("reward-report", "ratings.jsonl"),
        ("reward-report", "class_votes.jsonl"),
    }
    assert said - set(found) == {(stage, "feedback", file) for stage, file in single}, (
        "nobody said anything of single texts"
    )
    assert set(found) <= said
    assert other["pretraining_loss"] != first_report["pretraining_loss"]


def test_pretraining_and_sft_can_be_left_out(workplace, first_report):
    base = f"base={{kind: pretrained, model: {first_report['artifacts']['sft']}/model}}"
    report = workplace.report("rlhf", SMOKE, base, "pretraining=null", "sft=null", "tuning.gamma=0.9")
    left = [name for name in STAGES if name not in ("texts", "demonstrations", "pretraining", "sft")]
    # `completions` and what it leads to come from the cache: the base is what fine-tuning gave in the first run
    assert sorted(report["stages_run"] + report["stages_cached"]) == sorted(left)
    assert "tuning" in report["stages_run"]
