"""What `rein` prints when a flow has ended."""

import json
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.starting.typed import typed, typed_again
from models.evaluation.references import FIGURE, share_lines
from models.plain_text import printable
from models.settings.pipeline import PipelineConfig

FIGURES = {
    "win_rate": "win rate over the base",
    "kl_nats": "KL to the base, nats",
    "reward_labeler_accuracy": "reward model, people's held-out preferences",
    "krippendorff_alpha": "agreement of the labelers (Krippendorff's alpha)",
}
"""What is shown of a run's figures, with the words for it; `everything` shows all."""
WIDTH = 80


def print_report(config: PipelineConfig, report: dict[str, Any], everything: bool = False) -> None:
    """What a run has shown: the result in a sentence, four figures, labelers, a prompt before and after, what ran, and where to look further."""
    if everything:
        _print_figures(report)
    print(_wrapped(report["result"]))
    for name, words in FIGURES.items():
        if isinstance(report.get(name), float):
            print(f"  {words}: {report[name]:z.2f}{_interval(report, name)}")
    if "judges" in report:  # flow `reward` has tuned nothing that could be judged
        _print_judges(config, report)
    if report["simulated_labelers"]:
        print("The labelers of this run were simulated.")
    if report["ai_labelers"]:
        print(f"Labels of {', '.join(report['ai_labelers'])} are by language models, not by people.")
    for name in report.get("upside_down_labelers", ()):
        print(f"labeler {name} ranks against the others: have the instructions been understood?")
    if example := report.get("example"):
        for name in ("prompt", "base", "policy"):
            print(_wrapped(f"{name}: {example[name]}", lines=2))
    for words, stages in (("run", report["stages_run"]), ("from the cache", report["stages_cached"])):
        print(_wrapped(f"stages {words}: {', '.join(stages) or 'none'}"))
    print(f"report: {report['page']}")
    programs = os.path.relpath(Path(sys.executable).parent)
    page = report["mlflow_runs"] or f"{programs}/mlflow ui --backend-store-uri {config.tracking.uri}"
    print(f"compare runs:  {page}")
    print(f"look at flows: PREFECT_HOME={shlex.quote(os.environ['PREFECT_HOME'])} {programs}/prefect server start")


def _wrapped(text: str, lines: int | None = None) -> str:
    return textwrap.fill(printable(text), WIDTH, subsequent_indent="  ", max_lines=lines, placeholder=" …")


def _interval(report: dict[str, Any], name: str) -> str:
    low, high = report.get(f"{name}_low"), report.get(f"{name}_high")
    return "" if low is None or high is None else f" ({low:z.2f} to {high:z.2f})"


def _print_figures(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report['flow']} · {report['prefect_flow_run_name']}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in report.items():
        if name.startswith(FIGURE):
            continue  # said by judge, in a line for each
        if isinstance(value, bool):
            table.add_row(name, "yes" if value else "no")
        elif isinstance(value, int):
            table.add_row(name, f"{value:,}")
        elif isinstance(value, str):
            table.add_row(name, value)
        elif isinstance(value, float):
            table.add_row(name, f"{value:z.4f}")
    Console().print(table)


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
            print(_wrapped(f"{kind}: win rate {rate}{equal}; it has learned from {said['learned_from']}{chose}"))
    for line in [*describe_votes(report), *share_lines(report)]:
        print(_wrapped(line))
    if waits_for_votes(report):
        print(f"let people vote: {_labelling(config)}")
        print(f"then run the same again: {typed_again()}")
        print("the votes so far are counted then, and all the rest comes from the cache")


def print_batch(config: PipelineConfig, published: dict[str, str], learn: Sequence[str]) -> None:
    """What has been published, and what comes next: `learn`, the words of the command that learns from it; none where the same command goes on."""
    print(f"batch: {published['batch']} in {config.feedback.url}")
    print(f"let people judge it: {_labelling(config)}")
    if not learn:
        print(f"then run the same again: {typed_again()}")
        print("it learns from what they say, and publishes what the policy writes to the next prompts")
        return
    print("then learn: " + typed(*learn, f"labels={{kind: store, criterion: {config.batch.criterion}}}"))
    print(f"batch to rank by other means: {published['folder']}")
    folder = json.dumps(published["folder"], ensure_ascii=False)
    print("write rankings.jsonl into it, then: " + typed(*learn, f"labels={{kind: folder, path: {folder}}}"))


def _labelling(config: PipelineConfig) -> str:
    """The commands that let people in, and serve the page to them."""
    store = config.feedback.url
    return f"{typed('labelers', 'add', 'ann', store=store)} && {typed('label', store=store)}"
