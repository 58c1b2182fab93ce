"""`make run` from nothing, on the processor as it is and held to AVX2 as an older one has it: how long it takes, and what is learned.

    .venv/bin/python -m benchmarks.run --instructions avx2 avx512 --seeds 11 12 13 14 15

Each seed is the whole command `rein rlhf deployments/tiny.yaml` in a folder of its own. Writes benchmarks/results/run.json after each one:
under `avx2` and `avx512` a row for each seed, of which `seconds` is the command on the clock. Instruction sets that are not asked for keep
their rows.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.trials import PROJECT, circumstances, print_table, run_trial

PRESET = "deployments/tiny.yaml"
RESULTS = PROJECT / "benchmarks" / "results" / "run.json"
HELD_TO = {
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512": {},
}
"""What holds torch, oneDNN and MKL to an instruction set. Nothing holds them to AVX-512: it is what they take where it is there."""
FIGURES = (
    *(
        "seed",
        "seconds",
        "seconds_to_better",
        "helpful_base",
        "helpful_policy",
        "win_rate",
        "win_rate_low",
        "kl_nats",
        "end_rate",
    ),
    *("distinct_completions", "distinct_completions_base", "upside_down_labelers"),
    *("reward_labeler_accuracy", "reward_labeler_ceiling", "reward_accuracy", "cpu"),
)


def environment_of(instructions: str) -> dict[str, str]:
    """This process's environment, with torch held to an instruction set."""
    held = {name for settings in HELD_TO.values() for name in settings}
    return {name: value for name, value in os.environ.items() if name not in held} | HELD_TO[instructions]


def refuse_what_is_not_there(instructions: str) -> None:
    """Ends the program when torch has no kernels of this instruction set here."""
    ask = [sys.executable, "-c", "import torch; print(torch.backends.cpu.get_cpu_capability())"]
    done = subprocess.run(ask, env=environment_of(instructions), stdout=subprocess.PIPE, text=True, check=True)
    if done.stdout.strip() != instructions.upper():
        sys.exit(f"--instructions {instructions}: on this processor torch computes with {done.stdout.strip()}")


def row_of(trial: Mapping[str, object]) -> dict[str, object]:
    """The figures of a trial that are wanted; the command's seconds stand for those that the report knows of."""
    return {name: trial[name] for name in FIGURES} | {"seconds": trial["wall_seconds"]}


def keep(file: Path, instructions: str, rows: list[dict[str, object]]) -> None:
    """Puts the rows of an instruction set into the file, and leaves those of others."""
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(
        json.dumps(earlier | circumstances() | {"preset": PRESET, instructions: rows}, indent=1) + "\n",
        encoding="utf-8",
    )


def main() -> None:
    """Reads the command line, runs, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instructions", choices=HELD_TO, nargs="+", default=list(HELD_TO))
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    for instructions in arguments.instructions:
        refuse_what_is_not_there(instructions)
    for instructions in arguments.instructions:
        rows: list[dict[str, object]] = []
        for seed in arguments.seeds:
            rows.append(row_of(run_trial("rlhf", PRESET, seed, environment=environment_of(instructions))))
            keep(RESULTS, instructions, rows)
        print(instructions)
        print_table(rows)


if __name__ == "__main__":
    main()
