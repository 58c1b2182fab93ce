"""What orchestration costs: a run through Prefect and MLflow against the same stage bodies called directly.

    .venv/bin/python -m benchmarks.overhead deployments/tiny.yaml --seeds 0 1 2

For each seed both sides take turns in processes of their own, with the same settings and data, each from nothing, and must end in the
same policy, file by file. The one is the command `rein rlhf`, temporary Prefect server and a new MLflow database included. The other runs the
same wiring with a plain function in place of each stage; registering and reporting are left out, and the time to import Prefect and MLflow
is taken off. Writes benchmarks/results/overhead.json.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT / "benchmarks" / "results" / "overhead.json"
LEARNED = (
    "reward_labeler_accuracy",
    "reward_accuracy",
    "helpful_base",
    "helpful_policy",
    "win_rate",
    "win_rate_low",
    "kl_nats",
    "end_rate",
)
WANTED = "under 10 % or 20 s"
WANTED_SHARE, WANTED_SECONDS = 0.1, 20.0


def run_directly(preset: str, overrides: list[str], root: Path) -> dict[str, Any]:
    """Runs flow `rlhf` with plain functions for stages; the seconds that importing took, and the policy's digest."""
    started = time.monotonic()
    import mlflow  # noqa: F401
    from prefect.logging import disable_run_logger

    import_seconds = time.monotonic() - started
    from flows import base, collect, feedback, learn, rlhf
    from models.settings.presets import load_config

    artifacts: dict[str, Any] = {}
    for module in (base, collect, feedback, learn, rlhf):
        for name, stage in stages_of(module).items():
            setattr(module, name, directly(stage, artifacts))
    learn.register_models = lambda *_, **artifacts: SimpleNamespace(**artifacts)
    rlhf.write_report = lambda *_: {}
    config = load_config(Path(preset), overrides)

    @contextmanager
    def open_run(*_: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(config=config, root=root)

    rlhf.open_run = open_run
    with disable_run_logger():
        rlhf.rlhf.fn(config)
    return {"import_seconds": import_seconds, "policy": artifacts["tune_policy"].sha256}


def stages_of(module: Any) -> dict[str, Callable[..., Any]]:
    """The stages that a module of flows/ names."""
    return {name: value for name, value in vars(module).items() if hasattr(value, "traits")}


def directly(stage: Callable[..., Any], artifacts: dict[str, Any]) -> Callable[..., Any]:
    """A stage as a function that makes its artifact and nothing else."""
    from tasks.running.making import making_of
    from tasks.running.stage import Work
    from tasks.running.storage import publish, scratch_folder

    class PlainWork(Work):
        def checkpoints(self, every: int) -> Any:
            from models.training.checkpoints import Checkpoints

            return Checkpoints(self.checkpoint_folder, every)

        def follow(self, steps: Iterator[Any]) -> list[Any]:
            return list(steps)

    def call(run: SimpleNamespace, **inputs: Any) -> Any:
        name = stage.__name__
        with scratch_folder(run.root / "artifacts") as folder:
            work = PlainWork(name, folder, None, run.root / "checkpoints" / name)
            rows = stage.__wrapped__(work, **inputs)
            made = making_of(stage.traits, stage.__module__, inputs)
            artifacts[name] = publish(folder, run.root / "artifacts" / name, name, rows, "", work.metrics, made, 0.0)
        return artifacts[name]

    return call


def turn(preset: str, overrides: list[str]) -> dict[str, dict[str, Any]]:
    """Each side once: its seconds on the clock, the policy's digest, and what the evaluation of the orchestrated one says."""
    figures = {}
    for side in ("orchestrated", "direct"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / ".rein"
            where = [f"storage.root={root}", f"tracking.uri=sqlite:///{root}/mlflow.db", *overrides]
            command = ["-m", "cli.command", "rlhf", preset, *where]
            if side == "direct":
                command = ["-m", "benchmarks.overhead", preset, *where, "--directly", str(root)]
            clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
            environment = clean | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
            started = time.monotonic()
            done = subprocess.run(
                [sys.executable, *command], cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            seconds = time.monotonic() - started
            if side == "direct":
                told = json.loads(done.stdout.splitlines()[-1])
                seconds, policy = seconds - told["import_seconds"], told["policy"]
            else:
                (manifest,) = root.glob("artifacts/tuning-*/manifest.json")
                policy = json.loads(manifest.read_text(encoding="utf-8"))["artifact"]["sha256"]
                (report,) = root.glob("reports/*/report.json")
                figures["report"] = json.loads(report.read_text(encoding="utf-8"))
        figures[side] = {"seconds": round(seconds, 2), "policy": policy}
        print(f"{side}: {seconds:.1f} s", flush=True)
    return figures


def summarize(turns: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians of both sides, what lies between them, and whether that is as wanted."""
    seconds = {side: [one[side]["seconds"] for one in turns] for side in ("orchestrated", "direct")}
    orchestrated, direct = (statistics.median(seconds[side]) for side in ("orchestrated", "direct"))
    overhead = orchestrated - direct
    return {
        "orchestrated_seconds": orchestrated,
        "direct_seconds": direct,
        "overhead_seconds": round(overhead, 2),
        "overhead_share": round(overhead / direct, 4),
        "wanted": WANTED,
        "as_wanted": overhead < WANTED_SECONDS or overhead < WANTED_SHARE * direct,
        "same_policy": all(one["orchestrated"]["policy"] == one["direct"]["policy"] for one in turns),
        "turns": seconds,
    }


def main() -> None:
    """Reads the command line, runs both sides, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one turn each")
    parser.add_argument("--directly", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.directly:
        return print(json.dumps(run_directly(arguments.preset, arguments.overrides, arguments.directly)))
    turns = [turn(arguments.preset, [*arguments.overrides, f"seed={seed}"]) for seed in arguments.seeds]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    figures = summarize(turns) | {
        "overrides": arguments.overrides,
        "seeds": arguments.seeds,
        "learned": [{name: one["report"].get(name) for name in LEARNED} for one in turns],
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("prefect", "mlflow", "torch")},
    }
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(kept | {Path(arguments.preset).stem: figures}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
