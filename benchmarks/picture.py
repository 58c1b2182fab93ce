"""Draws how often each version of the model is preferred to what people wrote, from the reports of finished runs.

    .venv/bin/python -m benchmarks.picture .rein/reports/*/report.json --to docs/pictures/preferred_to_reference.svg
    .venv/bin/python -m benchmarks.picture benchmarks/results/e2e.json

Of one report: its shares, with their intervals over prompts. Of several, runs of the same settings with other seeds: the mean over seeds,
with Student's interval of it. The runs need `evaluation.references`. The ending says the format: .svg or .png.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.trials import student_interval
from models.errors import DataError
from models.evaluation.references import shares_told
from tasks.reporting.plots import Share, plot_preferred_to_reference


def over_seeds(shares: Sequence[float]) -> Share:
    """Their mean with its 95 % interval by Student's t, within 0 and 1."""
    mean, low, high = student_interval(shares)
    return mean, max(0.0, low), min(1.0, high)


def gather(reports: Sequence[dict[str, Any]]) -> tuple[dict[str, dict[str, Share]], str]:
    """Judge -> version -> share, and what its interval is over. Raises DataError for reports that do not go together, or say nothing of it."""
    told = [shares_told(report) for report in reports]
    if not all(told):
        raise DataError("a report has no shares preferred to a reference; its run needs evaluation.references")
    compared = [
        ({judge: list(own) for judge, own in one.items()}, report["best_of"])
        for one, report in zip(told, reports, strict=True)
    ]
    if any(one != compared[0] for one in compared):
        raise DataError("the reports have other judges, versions or evaluation.best_of: draw them by themselves")
    if len(reports) == 1:
        return told[0], f"bars: 95 % intervals over {reports[0]['reference_prompts_asked']} held-out prompts"
    shares = {
        judge: {version: over_seeds([one[judge][version][0] for one in told]) for version in own}
        for judge, own in told[0].items()
    }
    return shares, f"mean of {len(reports)} seeds; bars: 95 % intervals over seeds"


def read_reports(path: Path) -> list[dict[str, Any]]:
    """The report in a file, or what the rows of benchmarks/e2e.py have of theirs."""
    told = json.loads(path.read_text(encoding="utf-8"))
    return [row["beside_people"] for row in told["rows"]] if "rows" in told else [told]


def draw(paths: Sequence[Path], destination: Path) -> None:
    """Writes the picture of these reports."""
    reports = [report for path in paths for report in read_reports(path)]
    shares, bars = gather(reports)
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure = plot_preferred_to_reference(shares, reports[0]["judges"], reports[0]["best_of"], bars)
    figure.savefig(destination, dpi=160)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "reports", nargs="+", type=Path, help="report.json of finished runs, or results of benchmarks.e2e"
    )
    parser.add_argument("--to", type=Path, default=Path("docs/pictures/preferred_to_reference.svg"))
    given = parser.parse_args()
    try:
        draw(given.reports, given.to)
    except DataError as error:
        sys.exit(str(error))
    print(given.to)


if __name__ == "__main__":
    main()
