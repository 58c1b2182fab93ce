"""What `rein` prints when a flow has ended."""

import os
import sys
from pathlib import Path
from typing import Any

from cli.store_option import DEFAULT_STORE
from models.evaluation.references import FIGURE, share_lines
from models.settings.pipeline import PipelineConfig


def print_report(config: PipelineConfig, report: dict[str, Any]) -> None:
    """The figures of a run, who ranks against the others, what ran, and where to look further."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report['flow']} · {report['prefect_flow_run_name']}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in report.items():
        if name.startswith(FIGURE):
            continue  # said below, a line for each judge
        if isinstance(value, bool | int | str):
            table.add_row(name, str(value))
        elif isinstance(value, float):
            table.add_row(name, f"{value:.4f}")
    console = Console()
    console.print(table)
    if "judges" in report:  # flow `reward` has tuned nothing that could be judged
        _print_judges(config, report)
    if report["simulated_labelers"]:
        print("The labelers of this run were simulated.")
    for name in report.get("upside_down_labelers", ()):
        print(f"labeler {name} ranks against the others: have the instructions been understood?")
    print(f"stages run: {', '.join(report['stages_run']) or 'none'}")
    print(f"stages from the cache: {', '.join(report['stages_cached']) or 'none'}")
    print(f"report: {report['path']}")
    programs = os.path.relpath(Path(sys.executable).parent)
    served = config.tracking.uri.startswith("http")
    page = config.tracking.uri if served else f"{programs}/mlflow ui --backend-store-uri {config.tracking.uri}"
    print(f"compare runs:  {page}")
    print(f"look at flows: PREFECT_HOME={os.environ['PREFECT_HOME']} {programs}/prefect server start")


def _print_judges(config: PipelineConfig, report: dict[str, Any]) -> None:
    """What each judge says, and what to do where votes are waited for."""
    from models.evaluation.judges.people import describe_votes, waits_for_votes

    for kind, said in report["judges"].items():
        if "win_rate" in said:
            chose = "; it chose the policy, by other prompts" if said["chose"] else ""
            rate = f"{said['win_rate']:.3f} ({said['win_rate_low']:.3f} to {said['win_rate_high']:.3f})"
            equal = (
                f", at equal lengths {said['win_rate_length_controlled']:.3f}"
                if "win_rate_length_controlled" in said
                else ""
            )
            print(f"{kind}: win rate {rate}{equal}; it has learned from {said['learned_from']}{chose}")
    for line in [*describe_votes(report), *share_lines(report)]:
        print(line)
    if waits_for_votes(report):
        print("let people vote: `rein labelers add NAME`, then `rein label`" + _store_argument(config))
        print("then run the same again: the votes so far are counted, and all the rest comes from the cache")
    if report["judge"] is None:
        print("No independent judge: nothing here says that the policy got better. Name one in evaluation.judges.")


def print_batch(config: PipelineConfig, published: dict[str, str], then: str) -> None:
    """What has been published, and what comes next: `then`, the flow that goes on from what people say."""
    print(f"batch: {published['batch']} in {config.feedback.url}")
    print("let people judge it: `rein labelers add NAME`, then `rein label`" + _store_argument(config))
    if then == "iterate":
        print(
            "then run the same again: it learns from what they say, and publishes what the policy writes to the next prompts"
        )
        return
    print(f"then learn: `rein learn` with 'labels={{kind: store, criterion: {config.batch.criterion}}}'")
    print(f"batch to rank by other means: {published['folder']}")
    print(
        f"Write rankings.jsonl into it, then run `rein learn` with 'labels={{kind: folder, path: {published['folder']}}}'"
    )


def _store_argument(config: PipelineConfig) -> str:
    return "" if config.feedback.url == DEFAULT_STORE else f", both with --store {config.feedback.url}"
