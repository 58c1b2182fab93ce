"""Versions of the model beside what people wrote to held-out prompts, in whole runs."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from models.evaluation.references import VersionSample
from models.records import Prompt, read_records
from tests.flows.conftest import SMOKE, Workplace
from tests.flows.test_learn import refusal
from tests.tolerances import close

JUDGES = ("household_rule", "own_reward")


@pytest.fixture(scope="module")
def held_out(first_report: dict) -> list[str]:
    prompts = read_records(Path(first_report["artifacts"]["prompts"], "prompts.jsonl"), Prompt)
    return [prompt.text for prompt in prompts if prompt.split == "test"]


@pytest.fixture(scope="module")
def references(held_out: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The setting, of a file with two texts for the first held-out prompt, one for the others, none for the last."""
    texts = [(held_out[0], "Open a window."), *((f" {prompt}\n", "Call somebody.") for prompt in held_out[:-1])]
    texts.append(("What is this?", "A prompt that is not asked."))
    file = tmp_path_factory.mktemp("references") / "references.jsonl"
    rows = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in texts]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return f"evaluation.references={{kind: file, path: {file}}}"


@pytest.fixture(scope="module")
def report(workplace: Workplace, first_report: dict, references: str) -> dict:
    done = workplace.rein("rlhf", SMOKE, references, "evaluation.best_of=3")
    report = workplace.report_of(done)
    for judge in JUDGES:
        assert f"{judge}: preferred to the human reference: pretrained " in done.stdout
    assert "best of 3 at most 0.4" in done.stdout
    return report


def test_each_version_is_compared_with_each_reference_by_each_judge(report, held_out):
    assert report["stages_run"] == ["reference-texts", "versions", "references"]
    order = list(report["artifacts"])
    assert order.index("reference-texts") < order.index("pretraining"), "data is read before anything is trained"
    assert (report["reference_prompts"], report["reference_prompts_left_out"]) == (len(held_out) - 1, 1)
    assert close(report["best_of_kl_nats_bound"], math.log(3) - 2 / 3)
    for judge in JUDGES:
        for version in ("pretrained", "sft", "best_of_n", "policy"):
            name = f"preferred_to_reference/{version}/{judge}"
            assert 0 <= report[f"{name}_low"] <= report[name] <= report[f"{name}_high"] <= 1
        assert close(
            report[f"preferred_to_reference/policy-sft/{judge}"],
            report[f"preferred_to_reference/policy/{judge}"] - report[f"preferred_to_reference/sft/{judge}"],
        )


def test_the_samples_are_kept(report, held_out):
    samples = read_records(Path(report["artifacts"]["versions"], "samples.jsonl"), VersionSample)
    num = min(8, len(held_out) - 1)  # evaluation.num_prompts
    assert Counter(one.version for one in samples) == {
        **{"human reference": num + 1, "pretrained": 2 * num, "sft": 2 * num, "policy": 2 * num, "best_of_n": num}
    }
    assert {one.prompt for one in samples} == set(held_out[:num])
    best = {one.prompt: one.score for one in samples if one.version == "best_of_n"}
    assert all(one.score <= best[one.prompt] for one in samples if one.version == "sft"), (
        "the best of these and another"
    )


def test_the_picture_lies_beside_the_report_and_in_mlflow(report, workplace):
    picture = Path(report["path"]).with_name("preferred_to_reference.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    client = MlflowClient(tracking_uri=workplace.tracking_uri)
    plots = {file.path for file in client.list_artifacts(report["mlflow_run_id"], "plots")}
    assert "plots/preferred_to_reference.png" in plots
    run = client.get_run(report["mlflow_run_id"])
    name = "preferred_to_reference/policy/household_rule"
    assert run.data.metrics[name] == pytest.approx(report[name])
    assert "household_rule: preferred to the human reference" in run.data.tags["mlflow.note.content"]
    assert f"| {name} |" not in run.data.tags["mlflow.note.content"]


def test_versions_get_elo_ratings_beside_people(report, workplace):
    done = workplace.rein("standings")
    assert done.returncode == 0, done.stderr
    of_rule = done.stdout.partition("judge: household_rule")[2].partition("judge:")[0]
    for name in ("human reference", "best of 3 by ", "rein-policy"):
        assert name in of_rule


def test_another_judge_and_other_references_ask_for_no_more_than_they_need(workplace, report, references):
    again = workplace.report(
        "rlhf", SMOKE, references, "evaluation.best_of=3", "evaluation.judges=[{kind: own_reward}]"
    )
    assert again["stages_run"][-1] == "references" and set(again["stages_run"]) <= {"evaluation", "references"}


def test_without_fine_tuning_the_pretrained_model_is_what_best_of_n_picks_from(workplace, first_report, references):
    base = f"base={{kind: pretrained, model: {first_report['artifacts']['sft']}/model}}"
    left_out = ("pretraining=null", "sft=null", "tuning.num_updates=3")
    report = workplace.report("rlhf", SMOKE, base, *left_out, references, "evaluation.best_of=2")
    found = {name.split("/")[1] for name in report if name.startswith("preferred_to_reference/")}
    assert {name for name in found if "-" not in name} == {"pretrained", "best_of_n", "policy"}


def test_references_of_other_prompts_are_refused_before_anything_is_trained(workplace, first_report, tmp_path):
    (tmp_path / "others.jsonl").write_text('{"prompt": "What is this?", "completion": "Nothing."}\n')
    file = f"evaluation.references={{kind: file, path: {tmp_path}/others.jsonl}}"
    done = workplace.rein("rlhf", SMOKE, file, "seed=3")
    assert done.returncode != 0 and "pretraining" not in done.stdout
    assert re.search(r"evaluation\.references: no text for any of the \d+ held-out prompts", refusal(done))
