"""Rankings to pairs at scale: wall time and memory of reading feedback, agreeing on it and converting it to pairs.

    OMP_NUM_THREADS=2 .venv/bin/python benchmarks/consensus_scale.py --prompts 10000 30000 100000

The labelers are simulated: 50 of them, 5 to a prompt, K = 5 completions; one in ten ranks at random. They are there for the clock
and say nothing about people. Each size runs in a process of its own and does what the stages do, reading what the one before it
wrote: `ingest` validates a feedback folder and writes it again, `consensus` reads its rankings, agrees by bradley_terry and
writes, `pairs` reads both, converts and writes. Writes benchmarks/results/consensus_scale.json and prints a table.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from labeling.exporters.tables import export_raw
from labeling.importers.read_feedback import read_feedback
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.records import Completion, Consensus, Prompt, Ranking, read_records, write_records
from models.settings.labels import FeedbackFolder
from models.settings.pipeline import ConsensusConfig, PairsConfig, SplitConfig

PROJECT = Path(__file__).resolve().parent.parent
NUM_LABELERS, LABELERS_PER_PROMPT, NUM_COMPLETIONS = 50, 5, 5
NUM_WORDS = 40  # of a completion
NOISE_SD = 0.72  # beside true strengths of sd 1: two labelers agree on 73 % of pairs, as those of Ouyang et al. 2022 do
STEP = 0.5  # what a labeler perceives is rounded to this; equal ones are tied
UNUSABLE_BELOW = -2.5
PHASES = ("ingest", "consensus", "pairs")


def make_feedback(folder: Path, num_prompts: int, seed: int) -> None:
    """Writes prompts.jsonl, completions.jsonl and rankings.jsonl of simulated labelers."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefghijklmnoprstuvw"), 5)) for _ in range(2000)]
    prompts, completions, rankings = [], [], []
    for number in range(num_prompts):
        prompt = Prompt.of(f"Question {number}: {' '.join(rng.choice(words, 12))}?", "train")
        texts = rng.choice(words, (NUM_COMPLETIONS, NUM_WORDS))
        shown = [Completion.of(prompt.id, " ".join(text)) for text in texts]
        prompts.append(prompt)
        completions += shown
        truth = rng.normal(size=NUM_COMPLETIONS)
        for labeler in rng.choice(NUM_LABELERS, LABELERS_PER_PROMPT, replace=False):
            view = truth * (labeler >= NUM_LABELERS // 10) + rng.normal(scale=NOISE_SD, size=NUM_COMPLETIONS)
            rankings.append(_ranking(prompt, f"labeler-{labeler:02}", [one.id for one in shown], view))
    write_records(folder / "prompts.jsonl", prompts)
    write_records(folder / "completions.jsonl", completions)
    write_records(folder / "rankings.jsonl", rankings)


def _ranking(prompt: Prompt, labeler: str, names: list[str], view: np.ndarray) -> Ranking:
    levels: dict[float, list[str]] = {}
    for one in np.argsort(-view):
        if view[one] >= UNUSABLE_BELOW:
            levels.setdefault(round(view[one] / STEP), []).append(names[one])
    unusable = [name for name, value in zip(names, view, strict=True) if value < UNUSABLE_BELOW]
    return Ranking.of(prompt.id, labeler, "helpfulness", levels.values(), unusable)


def ingest(source: Path, target: Path) -> int:
    """Reads and validates the folder, writes its records; gives the number of rankings."""
    feedback = read_feedback(FeedbackFolder(path=str(source)), SplitConfig(), seed=0)
    export_raw(feedback, target)
    return len(feedback.rankings)


def consensus(target: Path) -> int:
    """Agrees on the rankings; gives the number of agreed orders."""
    agreed, report = agree(read_records(target / "rankings.jsonl", Ranking), ConsensusConfig())
    (target / "agreement.json").write_text(report.model_dump_json(), encoding="utf-8")
    return write_records(target / "consensus.jsonl", agreed)


def pairs(target: Path) -> int:
    """Converts the agreed orders; gives the number of pairs."""
    agreed = read_records(target / "consensus.jsonl", Consensus)
    made, _ = make_pairs(agreed, read_records(target / "completions.jsonl", Completion), PairsConfig())
    return write_records(target / "pairs.jsonl", made)


def measure(folder: Path) -> dict:
    """Of each phase the rows it made, seconds on the clock and of the CPU, and the most memory this process held until its end."""
    source, target = folder / "given", folder / "made"
    target.mkdir()
    figures: dict[str, float] = {}
    steps = {"ingest": lambda: ingest(source, target), "consensus": lambda: consensus(target)}
    for name, step in (steps | {"pairs": lambda: pairs(target)}).items():
        started, cpu_started = time.monotonic(), time.process_time()
        figures[f"{name}_rows"] = step()
        figures[f"{name}_seconds"] = round(time.monotonic() - started, 2)
        figures[f"{name}_cpu_seconds"] = round(time.process_time() - cpu_started, 2)
        figures[f"{name}_peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 3)
    return figures


def run_size(num_prompts: int, seed: int) -> dict:
    """The figures of one size, made and measured in two processes of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "given").mkdir()
        me = [sys.executable, str(Path(__file__).resolve())]
        subprocess.run(
            [*me, "--make", name, "--prompts", str(num_prompts), "--seed", str(seed)], cwd=PROJECT, check=True
        )
        done = subprocess.run([*me, "--measure", name], cwd=PROJECT, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)
    total = {unit: round(sum(figures[f"{phase}_{unit}"] for phase in PHASES), 2) for unit in ("seconds", "cpu_seconds")}
    return {"prompts": num_prompts} | figures | total | {"peak_gb": figures["pairs_peak_gb"]}


def main() -> None:
    """Reads the command line, runs the sizes, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        return make_feedback(arguments.make / "given", arguments.prompts[0], arguments.seed)
    if arguments.measure:
        return print(json.dumps(measure(arguments.measure)))
    sizes = []
    columns = ("prompts", *(f"{phase}_seconds" for phase in PHASES), "seconds", "cpu_seconds", "peak_gb")
    print(*(f"{name:>18}" for name in columns))
    for num_prompts in arguments.prompts:
        sizes.append(run_size(num_prompts, arguments.seed))
        print(*(f"{sizes[-1][name]:>18}" for name in columns), flush=True)
    _write(arguments.seed, sizes)


def _write(seed: int, sizes: list[dict]) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    result = {
        "labelers": f"simulated: {NUM_LABELERS}, {LABELERS_PER_PROMPT} to a prompt, K = {NUM_COMPLETIONS}",
        "seed": seed,
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("numpy", "scipy", "pydantic")}
        | {"python": platform.python_version()},
        "sizes": sizes,
    }
    target = PROJECT / "benchmarks" / "results" / "consensus_scale.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
