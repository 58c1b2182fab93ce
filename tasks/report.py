"""What a flow run leaves for people: report.json, models in the registry, the samples table, final numbers on the parent run."""

import json
import time
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from models.evaluation import Match
from models.label_sources import SimulatedLabels
from models.records import Artifact, read_records
from tasks.lineage_report import report_lineage
from tasks.pipeline_run import PipelineRun
from tasks.promotion import Verdict
from tasks.registry import RegisteredPolicy, note_origin
from tasks.tracking import register_challenger

MAX_SAMPLE_ROWS = 200
DATA = frozenset({"texts", "demonstrations", "prompts", "feedback"})
"""Kinds of artifacts that are data rather than what was made of it: the dataset inputs of a flow's MLflow run."""


@task(name="register-models")
def register_models(
    run: PipelineRun, policy: Artifact, reward: Artifact, base: Artifact, feedback: Artifact, pairs: Artifact
) -> RegisteredPolicy:
    """Registers both models in MLflow, alias `challenger`, with what they were made from. Doing it again changes nothing."""
    tracking = run.config.tracking
    registered = RegisteredPolicy(
        version=register_challenger(run.tracked, tracking.policy_name, policy),
        reward_version=register_challenger(run.tracked, tracking.reward_name, reward),
        policy=policy,
        reward=reward,
        base=base,
        feedback=feedback,
        pairs=pairs,
        snapshot=run.snapshot,
    )
    note_origin(tracking, registered)
    return registered


@task(name="report")
def write_report(
    run: PipelineRun, evaluation: Artifact, policy: RegisteredPolicy, verdict: Verdict | None = None
) -> dict[str, Any]:
    """Writes report.json and gives back what it says. Logs the samples table to the flow's MLflow run."""
    matches = read_records(evaluation.folder / "samples.jsonl", Match)[:MAX_SAMPLE_ROWS]
    run.tracked.log_table(
        {field: [getattr(match, field) for match in matches] for field in Match.model_fields}, "samples.json"
    )
    path = run.report_folder / "report.json"
    report = run.metrics | {
        "path": str(path),
        "flow": run.flow_name,
        "simulated_labelers": isinstance(run.config.labels, SimulatedLabels),
        "registered_versions": {
            run.config.tracking.reward_name: policy.reward_version,
            run.config.tracking.policy_name: policy.version,
        },
        "seconds": round(time.monotonic() - run.started, 2),
        "stages_run": [outcome.name for outcome in run.outcomes if not outcome.cached],
        "stages_cached": [outcome.name for outcome in run.outcomes if outcome.cached],
        "artifacts": {outcome.name: outcome.artifact.uri for outcome in run.outcomes},
        "mlflow_run_id": run.tracked.run_id,
        "mlflow_tracking_uri": run.config.tracking.uri,
        "prefect_flow_run_id": run.flow_run_id,
        "prefect_flow_run_name": run.flow_run_name,
    }
    if verdict is not None:
        report |= verdict.figures()
    run.tracked.log_inputs(
        {outcome.name: outcome.artifact for outcome in run.outcomes if outcome.artifact.kind in DATA}
    )
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    run.tracked.log_file(path)
    run.tracked.log_metrics({"seconds": report["seconds"]})
    create_table_artifact(_shown_samples(matches[:20]), key="samples", description="Held-out prompts before and after")
    create_markdown_artifact(_markdown(report), key="report", description="The figures of this flow run")
    report_lineage(run, versions)
    return report


def _shown_samples(matches: list[Match]) -> list[dict[str, str]]:
    """Rows for Prefect's table. Model output is untrusted: angle brackets and pipes are neutralised."""
    return [
        {
            "prompt": _plain(match.prompt),
            "base": _plain(match.base_completion),
            "policy": _plain(match.policy_completion),
            "base score": f"{match.base_score:.2f}",
            "policy score": f"{match.policy_score:.2f}",
            "KL (nats)": f"{match.kl_nats:.1f}",
        }
        for match in matches
    ]


def _plain(text: str) -> str:
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("[", "&#91;"), ("`", "&#96;")):
        text = text.replace(sign, entity)
    return text


def _markdown(report: dict[str, Any]) -> str:
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in report.items() if isinstance(value, float | int))
    simulated = "\n\nThe labelers of this run were **simulated**." if report["simulated_labelers"] else ""
    against = ", ".join(report["upside_down_labelers"])
    named = f"\n\nThese labelers rank against the others: {_plain(against)}." if against else ""
    return f"# Report{simulated}{named}\n\n| figure | value |\n|---|---|\n{rows}"
