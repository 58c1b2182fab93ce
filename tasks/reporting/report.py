"""What a flow run leaves for people: report.json, models in the registry, and in MLflow a note, samples, plots and final numbers."""

import json
import time
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from models.conversation import transcript
from models.evaluation.metrics import Match
from models.evaluation.references import FIGURE, shares_told
from models.plain_text import plain
from models.processor import describe_processor
from models.records import Artifact, read_records
from models.settings.labels import SimulatedLabels
from models.written_numbers import nats
from tasks.champion.promotion import Verdict
from tasks.reporting.lineage_report import report_lineage
from tasks.reporting.note import HEADLINE, POLICY_FIGURES, REWARD_FIGURES, policy_note, reward_note
from tasks.reporting.page.page import NAME as PAGE
from tasks.reporting.page.page import write_page
from tasks.reporting.plots import (
    CURVES,
    bars_of,
    kl_by_update,
    marks_of,
    plot_checks,
    plot_preferred_to_reference,
    plot_score_against_kl,
    plot_updates,
)
from tasks.reporting.result import policy_result, reward_result
from tasks.running.pipeline_run import COUNT, PipelineRun
from tasks.running.storage import read_steps
from tasks.tracking.experiment import runs_address
from tasks.tracking.registry import RegisteredPolicy, note_origin, register_challenger

MAX_SAMPLE_ROWS = 200
RESULTS = (*HEADLINE, "helpful_policy", "perfect_policy", "facts_missing_policy", "facts_wrong_policy", "score_policy")
"""What MLflow shows as a group of its own, `result/...`, to choose columns from and to compare by."""
MAX_NOTE_CHARACTERS = 7000  # MLflow takes 8000 in a tag


@task(name="register-models", cache_policy=NO_CACHE)
def register_models(
    run: PipelineRun, policy: Artifact, reward: Artifact, base: Artifact, feedback: Artifact, pairs: Artifact
) -> RegisteredPolicy:
    """Registers both models in MLflow, alias `challenger`, with what they were made from. Doing it again changes nothing."""
    tracking = run.config.tracking
    text = _version_text(
        run, f"Policy tuned with {', then '.join(one.kind for one in run.config.tunings.values())}", POLICY_FIGURES
    )
    registered = RegisteredPolicy(
        version=register_challenger(run.tracked, tracking.policy_name, policy, text),
        reward_version=_reward_version(run, reward),
        policy=policy,
        reward=reward,
        base=base,
        feedback=feedback,
        pairs=pairs,
        snapshot=run.snapshot,
    )
    note_origin(tracking, registered)
    return registered


@task(name="register-reward", cache_policy=NO_CACHE)
def register_reward(run: PipelineRun, reward: Artifact) -> int:
    """The version of the reward model in MLflow, registered as `register_models` does."""
    return _reward_version(run, reward)


def _reward_version(run: PipelineRun, reward: Artifact) -> int:
    text = _version_text(run, "Reward model", REWARD_FIGURES)
    return register_challenger(run.tracked, run.config.tracking.reward_name, reward, text)


@task(name="report", cache_policy=NO_CACHE)
def write_report(
    run: PipelineRun, matches: Artifact, policy: RegisteredPolicy, verdict: Verdict | None = None
) -> dict[str, Any]:
    """Writes report.json and gives back what it says. Logs the samples, plots and a note to the flow's MLflow run."""
    tracking = run.config.tracking
    samples = read_records(matches.folder / "samples.jsonl", Match)[:MAX_SAMPLE_ROWS]
    run.tracked.log_table(sample_table(samples), "samples.json")
    versions = {tracking.reward_name: policy.reward_version, tracking.policy_name: policy.version}
    report = _facts(run, versions) | {"seconds_to_better": seconds_to_better(run)}
    report = {"result": policy_result(report), "example": example_of(samples)} | report
    if verdict is not None:
        report |= verdict.figures()
    _keep(run, report, policy_note(report))
    _log_plots(run)
    _log_shares(run, report)
    create_markdown_artifact(
        before_and_after(samples[:20]), key="samples", description="Held-out prompts before and after, with scores"
    )
    of_policy, of_reward = (tracking.policy_name, policy.version), (tracking.reward_name, policy.reward_version)
    report_lineage(run, {of_policy: policy.policy, of_reward: policy.reward})
    return report


@task(name="report", cache_policy=NO_CACHE)
def write_reward_report(run: PipelineRun, reward: Artifact, version: int) -> dict[str, Any]:
    """Writes report.json of a run that ends with the reward model, and gives back what it says: no policy, and no judge of one."""
    name = run.config.tracking.reward_name
    report = _facts(run, {name: version})
    report = {"result": reward_result(report)} | report
    _keep(run, report, reward_note(report))
    report_lineage(run, {(name, version): reward})
    return report


def _facts(run: PipelineRun, registered_versions: dict[str, int]) -> dict[str, Any]:
    """What every report says: the figures of the stages, and which run this was."""
    return run.metrics | {
        "path": str(run.report_folder / "report.json"),
        "page": str(run.report_folder / PAGE),
        "flow": run.flow_name,
        "changed": run.changed,
        "simulated_labelers": isinstance(run.config.labels, SimulatedLabels),
        "ai_labelers": _language_models(run),
        "registered_versions": registered_versions,
        "seconds": round(time.monotonic() - run.started, 2),
        "cpu": describe_processor(),
        "stages_run": [outcome.name for outcome in run.outcomes if not outcome.cached],
        "stages_cached": [outcome.name for outcome in run.outcomes if outcome.cached],
        "artifacts": {outcome.name: outcome.artifact.uri for outcome in run.outcomes},
        "mlflow_run_id": run.tracked.run_id,
        "mlflow_tracking_uri": run.config.tracking.uri,
        "mlflow_runs": _runs_address(run),
        "prefect_flow_run_id": run.flow_run_id,
        "prefect_flow_run_name": run.flow_run_name,
    }


def _keep(run: PipelineRun, report: dict[str, Any], markdown: str) -> None:
    """The report as a file, in MLflow, and as a note in both MLflow and Prefect."""
    run.tracked.log_inputs({outcome.name: outcome.artifact for outcome in run.outcomes if outcome.reads_data})
    path = Path(report["path"])
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    run.tracked.log_file(path)
    run.tracked.log_file(write_page(run.report_folder))
    create_link_artifact(
        _page_address(run), link_text="report.html", key="report-page", description="The report as a page"
    )
    results = {f"result/{name}": report[name] for name in RESULTS if report.get(name) is not None}
    run.tracked.log_metrics({"seconds": report["seconds"]} | results)
    run.tracked.log_parameters({f"{COUNT}{outcome.name}": outcome.artifact.rows for outcome in run.outcomes})
    stages = ", ".join(report["stages_run"]) or "none"
    run.tracked.set_tags(
        {
            "mlflow.note.content": markdown[:MAX_NOTE_CHARACTERS],
            "rein.stages_run": stages,
            "rein.result": report["result"],
        }
    )
    create_markdown_artifact(markdown, key="report", description="The figures of this flow run")


def _runs_address(run: PipelineRun) -> str | None:
    """Where MLflow's page lists the runs of this one's experiment; by itself it opens on another list. None where MLflow is a file."""
    uri = run.config.tracking.uri
    return runs_address(uri, run.tracked.experiment_id) if uri.startswith("http") else None


def _page_address(run: PipelineRun) -> str:
    """Where a browser finds report.html: among MLflow's artifacts, or as a file where MLflow is one."""
    uri, tracked = run.config.tracking.uri, run.tracked
    if uri.startswith("http"):
        return f"{uri}/#/experiments/{tracked.experiment_id}/runs/{tracked.run_id}/artifacts/{PAGE}"
    return (run.report_folder / PAGE).as_uri()


def seconds_to_better(run: PipelineRun) -> float | None:
    """Seconds of work until the judge first said that the policy is better than its base: of all stages before, and of the updates of
    tuning up to there. The same whether they ran now or came from the cache. None where it did not say so."""
    update = run.metrics.get("better_at_update")
    if update is None:
        return None
    tuned = max((n for n, outcome in enumerate(run.outcomes) if outcome.artifact.kind == "policy"), default=None)
    if tuned is None:
        return None
    before = sum(outcome.seconds for outcome in run.outcomes[:tuned])
    steps = read_steps(run.outcomes[tuned].artifact)
    return round(before + sum(step.values["update_seconds"] for step in steps[:update]), 2)


def _log_plots(run: PipelineRun) -> None:
    for outcome in run.outcomes:
        steps = read_steps(outcome.artifact)
        if steps and CURVES.keys() <= steps[0].values.keys():
            stage = outcome.name.replace("/", "-")
            for plot, name in (
                (plot_updates, f"{stage}_by_update.png"),
                (plot_score_against_kl, f"{stage}_score_against_kl.png"),
            ):
                path = run.report_folder / name
                plot(steps).savefig(path, dpi=110)
                run.tracked.log_file(path, "plots")
    _log_checks(run)


def _log_checks(run: PipelineRun) -> None:
    by_kind = {outcome.artifact.kind: read_steps(outcome.artifact) for outcome in run.outcomes}
    if checks := by_kind.get("evaluation"):
        told, kl = run.metrics, kl_by_update(by_kind.get("policy", ()))
        path = run.report_folder / "checks.png"
        plot_checks(checks, kl, told["judges"], marks_of(told)).savefig(path, dpi=110)
        run.tracked.log_file(path, "plots")


def _log_shares(run: PipelineRun, report: dict[str, Any]) -> None:
    if shares := shares_told(report):
        path = run.report_folder / f"{FIGURE}.png"
        plot_preferred_to_reference(shares, report["judges"], report["best_of"], bars_of(report)).savefig(path, dpi=110)
        run.tracked.log_file(path, "plots")


def _language_models(run: PipelineRun) -> list[str]:
    """The labelers that are language models, of parts of the reward too."""
    told = (value for name, value in run.metrics.items() if name.rpartition("/")[2] == "ai_labelers")
    return sorted({name for names in told for name in names})


def _version_text(run: PipelineRun, what: str, figures: tuple[str, ...]) -> str:
    """What a registered version is, in Markdown: where it came from and its headline figures."""
    link = (
        f"[{run.flow_run_name}]({run.flow_run_url})" if run.flow_run_url else f"{run.flow_run_name} ({run.flow_run_id})"
    )
    simulated = " Its labelers were **simulated**." if isinstance(run.config.labels, SimulatedLabels) else ""
    models = _language_models(run)
    simulated += (
        f" Labels of {', '.join(map(plain, models))} are by **language models**, not by people." if models else ""
    )
    rows = "\n".join(f"| {name} | {run.metrics[name]:.4g} |" for name in figures if run.metrics.get(name) is not None)
    return (
        f"{what}, from Prefect flow run {link}, MLflow run {run.tracked.run_id}.{simulated}\n\n"
        f"| figure | value |\n|---|---|\n{rows}"
    )


def example_of(matches: list[Match]) -> dict[str, str] | None:
    """The first held-out prompt to which base and policy wrote differently, not the best one; None where they never did."""
    shown = (match for match in matches if match.base_completion != match.policy_completion)
    return next(
        (
            {"prompt": transcript(one.prompt), "base": one.base_completion, "policy": one.policy_completion}
            for one in shown
        ),
        None,
    )


def sample_table(matches: list[Match]) -> dict[str, list[Any]]:
    """Columns for MLflow: what people compare stands first; prompts as they are read."""
    columns = ["prompt", "policy_completion", *Match.model_fields]
    table = {name: [getattr(match, name) for match in matches] for name in columns}
    return table | {"prompt": [transcript(match.prompt) for match in matches]}


def before_and_after(matches: list[Match]) -> str:
    """What base and policy wrote to each prompt, one above the other, as Markdown for Prefect. Model output is untrusted: it is shown as it is."""
    return "\n\n---\n\n".join(
        f"**{plain(transcript(match.prompt))}**\n\n"
        f"before ({match.base_score:z.2f}): {plain(match.base_completion)}\n\n"
        f"after ({match.policy_score:z.2f}, KL {nats(match.kl_nats)} nats): {plain(match.policy_completion)}"
        for match in matches
    )
