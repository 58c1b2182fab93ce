"""Labels by a language model in whole runs: by itself, beside people, and when its server is away."""

import json
import re
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from flows.rlhf import rlhf
from models.errors import PipelineError
from models.records import Ranking, read_records
from models.settings.presets import load_config
from tests.calling import call_rein
from tests.flows.conftest import SMOKE, Workplace
from tests.free_port import free_port
from tests.models.judge_server import longer_is_better, serving
from tests.tolerances import close

JUDGE = "{{name: judge, model: {{kind: endpoint, address: '{address}', model: small, num_tries: 2, backoff_seconds: 0.01}}}}"


def judge(address: str) -> str:
    return JUDGE.format(address=address)


def test_a_run_on_labels_by_a_model_says_so_and_is_cached_when_its_server_is_gone(apart: Workplace, first_report):
    with serving(longer_is_better) as server:
        asked = ("rlhf", SMOKE, f"labels={{kind: ai, labelers: [{judge(server.address)}]}}")
        done = apart.rein(*asked)
        report = apart.report_of(done)
        assert len(server.bodies) == 1 + 40 * 4 * 3, "a short question first, then 6 pairs of 40 prompts in both orders"
    assert "Labels of judge are by language models, not by people." in done.stdout
    assert report["stages_run"][0] == "ai-labels" and report["ai_labelers"] == ["judge"]
    assert report["simulated_labelers"] is False
    assert (report["ai/judge/consistency"], report["ai/judge/unreadable"]) == (1, 0)
    assert (report["rankings"], report["labelers"], report["ai/judge/prompt_tokens"]) == (40, 1, 100 * 40 * 12)
    client = MlflowClient(tracking_uri=apart.tracking_uri)
    for name, version in report["registered_versions"].items():
        assert "judge are by **language models**" in client.get_model_version(name, str(version)).description
    lineage = apart.rein("lineage", report["artifacts"]["tuning"])
    assert "of these language models, not people: judge" in re.sub(r"\s+", " ", lineage.stdout)
    again = apart.report(*asked, "tuning.num_updates=1")
    assert again["stages_run"] == ["tuning", "matches", "evaluation"], "the labels are there: nobody is asked"


def test_a_server_that_is_away_is_said_before_anything_is_made(apart: Workplace, first_report):
    address = f"http://127.0.0.1:{free_port()}/v1"
    overrides = [f"labels={{kind: ai, labelers: [{judge(address)}]}}", "pretraining.learning_rate=1.6e-3"]
    made = sorted((apart.root / "artifacts").glob("*"))
    with apart.prefect(), pytest.raises(PipelineError, match=f"{address}/chat/completions: cannot be reached"):
        rlhf(load_config(SMOKE, [*overrides, *apart.where(("rlhf",))]))
    assert sorted((apart.root / "artifacts").glob("*")) == made
    checked = call_rein("check", str(SMOKE), *overrides)
    assert (checked.returncode, checked.stderr) == (0, ""), "who checks a preset needs no server"


def test_beside_people_it_is_one_more_labeler_and_its_agreement_is_told(apart: Workplace, first_report, tmp_path):
    """The people are ann, who likes what is long, as the model does, and ben, who likes what is short: they agree on nothing."""
    source = Path(first_report["artifacts"]["labels"])
    for name in ("prompts.jsonl", "completions.jsonl"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    rows: dict[str, list[dict]] = {}
    for line in (source / "completions.jsonl").read_text().splitlines():
        rows.setdefault((row := json.loads(line))["prompt_id"], []).append(row)
    people = []
    for prompt, own in list(rows.items()):
        distinct = list({len(one["text"]): one["id"] for one in own}.items())
        if len(distinct) > 1:
            levels = [[name] for _, name in sorted(distinct, reverse=True)]
            people += [("ann", prompt, levels), ("ben", prompt, levels[::-1])]
    text = "".join(
        json.dumps({"prompt_id": prompt, "labeler": who, "criterion": "helpfulness", "levels": levels}) + "\n"
        for who, prompt, levels in people
    )
    (tmp_path / "rankings.jsonl").write_text(text)
    beside = f"beside: {{kind: folder, path: {tmp_path}}}"
    with serving(longer_is_better) as server:
        labels = f"labels={{kind: ai, labelers: [{judge(server.address)}], {beside}}}"
        report = apart.report("reward", SMOKE, labels)
        assert report["ai_labelers"] == ["judge"] and report["labelers"] == 3
        assert close(report["ai/judge/agreement_with_people"], 0.5), "all of ann's and none of ben's"
        assert report["agreement_of_people"] == 0.0
        assert set(report["labeler_reliability"]) == {"ann", "ben", "judge"}
        told = read_records(Path(report["artifacts"]["ai-labels"]) / "rankings.jsonl", Ranking)
        assert {one.labeler for one in told} == {"ann", "ben", "judge"}
        for settings, complaint in (
            (labels.replace("name: judge", "name: ann"), "labels.labelers: ann: people of this name have judged"),
            (
                labels.replace("{kind: ai", "{kind: ai, criterion: wit"),
                "labels.criterion: people ranked by helpfulness",
            ),
            (
                f"labels={{kind: ai, labelers: [{judge(server.address)}]}}",
                "labels.kind ai has no rankings to start from",
            ),
        ):
            done = apart.rein("reward", SMOKE, settings)
            assert done.returncode == 1 and complaint in done.stderr
        done = apart.rein("rlhf", SMOKE, labels)
        assert done.returncode == 1 and "labels.kind ai cannot answer at once" in done.stderr
