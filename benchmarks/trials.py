"""Runs a preset with several seeds, each from nothing, and keeps the figures: a claim about learning holds for three seeds.

    .venv/bin/python -m benchmarks.trials rlhf deployments/tiny.yaml --seeds 0 1 2

Writes benchmarks/results/<preset>.json (figures of every seed, commit, date, machine) and prints a table of them.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from models.processor import processor_name

PROJECT = Path(__file__).resolve().parent.parent
FIGURES = (
    *("reward_labeler_accuracy", "reward_labeler_ceiling", "reward_accuracy", "reward_calibration_error"),
    *("krippendorff_alpha", "percent_agreement", "leave_one_out_agreement"),
    *("helpful_base", "helpful_policy", "win_rate", "win_rate_low", "win_rate_high", "score_base", "score_policy"),
    *("kl_nats", "end_rate", "distinct_completions", "distinct_completions_base", "upside_down_labelers", "seconds"),
    *("seconds_to_better", "cpu"),
)


def run_flow(
    flow: str, preset: str, overrides: Sequence[str], root: Path, environment: Mapping[str, str] = os.environ
) -> dict:
    """The report of one run whose artifacts and reports go below `root`; what lies there already comes from the cache."""
    earlier = set(root.glob("reports/*/report.json"))
    where = [f"storage.root={root}", f"tracking.uri=sqlite:///{root}/mlflow.db"]
    subprocess.run(
        [sys.executable, "-m", "cli.command", flow, preset, *overrides, *where],
        cwd=PROJECT,
        env={**environment, "PREFECT_HOME": str(root / "prefect")},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (path,) = set(root.glob("reports/*/report.json")) - earlier
    return json.loads(path.read_text(encoding="utf-8"))


def run_trial(
    flow: str,
    preset: str,
    seed: int,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    figures: Sequence[str] = FIGURES,
) -> dict:
    """These figures of the report of one run in a folder of its own; `wall_seconds` is the whole command, imports and servers included."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        report = run_flow(flow, preset, [*overrides, f"seed={seed}"], Path(folder) / ".rein", environment)
        wall_seconds = time.monotonic() - started
    return {"seed": seed, "wall_seconds": round(wall_seconds, 1)} | {name: report.get(name) for name in figures}


def circumstances() -> dict[str, str]:
    """Commit, date and machine."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    return {
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor_name()}, {os.cpu_count()} cores",
    }


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows that a file of results holds; none where it is not there."""
    return json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []


def keep(file: Path, row: Mapping[str, Any], place: Sequence[str]) -> None:
    """Writes a row in the place of that which the file has with the same values of `place`; rows stand in the order of these."""

    def placed(one: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(one[name] for name in place)

    others = [one for one in read_rows(file) if placed(one) != placed(row)]
    ordered = sorted([*others, row], key=placed)
    file.write_text(json.dumps({"rows": ordered}, indent=1) + "\n", encoding="utf-8")


def student_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Their mean with its 95 % interval by Student's t."""
    mean = float(np.mean(values))
    half = float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def read_command(text: str, worlds: Iterable[str]) -> argparse.Namespace:
    """`world` and `seeds` of a trial that is made in several worlds; `text` says what it is."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("world", choices=list(worlds))
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    return parser.parse_args()


def main() -> None:
    """Reads the command line, runs the trials, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flow", choices=["rlhf", "learn"])
    parser.add_argument("preset")
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    trials = [run_trial(arguments.flow, arguments.preset, seed, arguments.overrides) for seed in arguments.seeds]
    result = {
        "preset": arguments.preset,
        "overrides": arguments.overrides,
        **circumstances(),
        "trials": trials,
    }
    target = PROJECT / "benchmarks" / "results" / f"{Path(arguments.preset).stem}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print_table(trials)


def print_table(trials: Sequence[Mapping[str, object]]) -> None:
    """A line for each figure, a column for each trial."""
    for name in trials[0]:
        print(f"{name:28}", *(f"{_shown(trial[name]):>14}" for trial in trials))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(value) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
