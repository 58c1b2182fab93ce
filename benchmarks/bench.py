"""Speed side by side with public peers: PPO and reward training against TRL, generation against `model.generate`.

    make bench
    make bench ARGS="--only ppo_full reward_k9 --repetitions 2"
    make bench ARGS="--as-listed"
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 make bench     as a processor that has AVX2 alone

Each contender is a process of its own with the same threads, model and data; they take turns (A B A B ...), only one computes at a
time, and the first round is a warm-up. A part's ratio is the median over the rounds of what the peer's unit of work (an update, a
ranking, a token) costs in seconds over what ours costs. First every setting that parts.py lists is measured, two rounds each
(benchmarks/results/bench_tried.json), and the fastest of either side on this machine counts; `--as-listed` takes the first of each
list, which was the fastest on the machine that the results are of.

Writes benchmarks/results/bench.json (on AVX2 alone bench_avx2.json, and so on), where parts that were not run keep what an earlier run
said of them, and prints a table.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions, version
from pathlib import Path

from benchmarks.parts import PARTS, TRL_PPO, Part
from benchmarks.quality import part as quality
from benchmarks.turns import PROJECT, Contender, medians, ratios, take_turns
from models.processor import computes_in_bfloat16, describe_processor, processor_name

RESULTS = PROJECT / "benchmarks" / "results"
PACKAGES = ("torch", "transformers", "trl", "accelerate", "datasets")
NUM_TRIED_ROUNDS = 2
NAMES = (*(part.name for part in PARTS), quality.NAME)


def results(name: str) -> Path:
    """The file of what was measured with the instructions that torch computes with here."""
    kernels = describe_processor()["kernels"]
    return RESULTS / (f"{name}.json" if kernels == "AVX512" else f"{name}_{str(kernels).lower()}.json")


def interpreter(environment: str | None) -> Path:
    """The Python of a peer's environment. Raises SystemExit, saying what to do, when it is not installed."""
    if environment is None:
        return Path(sys.executable)
    python = PROJECT / ".bench" / environment / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python} is missing: run this as `make bench`, which installs the peers")
    return python


def versions(environment: str | None) -> dict[str, str]:
    """Versions of what matters for speed in an environment."""
    if environment is None:
        return {name: version(name) for name in PACKAGES if name != "trl" and _is_installed(name)}
    folder = next((PROJECT / ".bench" / environment / "lib").glob("python*/site-packages"))
    found = {found.metadata["Name"].lower(): found.version for found in distributions(path=[str(folder)])}
    return {name: found[name] for name in PACKAGES if name in found}


def _is_installed(name: str) -> bool:
    return any(True for _ in distributions(name=name))


def own(part: Part, settings: dict, threads: int) -> Contender:
    """Our process for a part."""
    return Contender(interpreter(None), part.own, settings | {"threads": threads})


def peer(part: Part, settings: dict, threads: int) -> Contender:
    """The peer's process for a part."""
    return Contender(interpreter(part.environment), part.peer, settings | {"threads": threads})


def computed_here(settings: Sequence[dict]) -> list[dict]:
    """Those that this processor computes: bfloat16 that it only imitates takes ten times as long as float32."""
    return [one for one in settings if one["precision"] == "float32" or computes_in_bfloat16()]


def try_all(part: Part, threads: int) -> dict[str, list[dict]]:
    """The cost of every setting of both sides, the cheapest first."""
    tried = {}
    for side, start, candidates in (("own", own, part.own_settings), ("peer", peer, part.peer_settings)):
        rows = []
        for settings in computed_here(candidates):
            with start(part, settings, threads) as contender:
                (repetitions,) = take_turns([contender], NUM_TRIED_ROUNDS)
            rows.append({"cost": medians(repetitions)["cost"], "settings": settings})
            print(f"  {part.name}: {side} {settings}: {rows[-1]['cost']:.4g} s a {part.unit}", flush=True)
        tried[side] = sorted(rows, key=lambda row: row["cost"])
    return tried


def measure(part: Part, own_settings: dict, peer_settings: dict, repetitions: int, threads: int) -> dict:
    """What is written down of a part: the ratio, the turns, the medians of both sides, when and on what."""
    load_before = os.getloadavg()[0]
    with own(part, own_settings, threads) as ours, peer(part, peer_settings, threads) as theirs:
        figures = dict(zip(("own", "peer"), take_turns([ours, theirs], repetitions), strict=True))
    turns = ratios(figures["own"], figures["peer"])
    told = {
        "ratio": round(medians([{"seconds": turn, "amount": 1} for turn in turns])["cost"], 3),
        "wanted": part.wanted,
        "unit": part.unit,
        "ratios": [round(turn, 3) for turn in turns],
        "own": {"settings": own_settings, **medians(figures["own"]), "turns": figures["own"]},
        "peer": {"settings": peer_settings, **medians(figures["peer"]), "turns": figures["peer"]},
        "repetitions": repetitions,
    }
    return told | circumstances(part.environment, threads, load_before)


def circumstances(environment: str | None, threads: int, load_before: float) -> dict:
    """When, on what, and with which versions a part was measured."""
    return {
        "peer_versions": versions(environment),
        "own_versions": versions(None) | {"python": platform.python_version()},
        "threads": threads,
        "load_average": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "processor": describe_processor(),
    }


def commit() -> str:
    """The commit that ran, with a + when files differ from it."""
    described = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(described, cwd=PROJECT, capture_output=True, text=True).stdout.strip()


def machine() -> str:
    """Processor and number of cores."""
    return f"{processor_name()}, {os.cpu_count()} cores"


def summary(parts: dict[str, dict]) -> dict:
    """What bench.json holds: `<part>_ratio` of every part measured, `ppo_matrix_share`, then all that is known of the parts."""
    ratios_of = {f"{name}_ratio": figures["ratio"] for name, figures in parts.items()}
    share = matrix_share(parts.get("ppo_full", {}))
    return ratios_of | ({} if share is None else {"ppo_matrix_share": share}) | {"parts": parts}


def matrix_share(figures: dict) -> float | None:
    """Of our seconds the share that its matrix products would take at the rate of large ones; None where they were not counted."""
    ours = figures.get("own", {})
    return round(ours["matrix_seconds"] / ours["cost"], 3) if "matrix_seconds" in ours else None


def keep(file: Path, name: str, figures: dict) -> dict:
    """Adds a part's figures to those in the file and gives back all of them, in the order of `PARTS`."""
    earlier = json.loads(file.read_text(encoding="utf-8"))["parts"] if file.exists() else {}
    parts = earlier | {name: figures}
    ordered = {one: parts[one] for one in NAMES if one in parts}
    file.write_text(json.dumps(summary(ordered), indent=1) + "\n", encoding="utf-8")
    return ordered


def keep_tried(file: Path, name: str, tried: dict) -> None:
    """The same for the settings tried."""
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    about = {"date": datetime.date.today().isoformat(), "commit": commit(), "machine": machine()}
    file.write_text(json.dumps(earlier | {name: about | tried}, indent=1) + "\n", encoding="utf-8")


def measure_quality(threads: int, search: bool) -> dict:
    """What is written down of the part `quality`, with the settings that a search of it found best, or that its file names."""
    load_before = os.getloadavg()[0]
    pythons = {"own": interpreter(None), "peer": interpreter(TRL_PPO)}
    settings = {"own": quality.OWN_SETTINGS, "peer": quality.PEER_SETTINGS}
    if search:
        tried = quality.search(pythons, threads)
        keep_tried(results("bench_tried"), quality.NAME, tried)
        settings = {side: rows[0]["settings"] for side, rows in tried.items()}
    measured = quality.measure_quality(pythons, settings, threads)
    return measured | circumstances(TRL_PPO, threads, load_before)


def row(name: str, figures: dict) -> str:
    """A line of the table."""
    lengths = [figures[side].get("mean_length") for side in ("own", "peer")]
    return (
        f"{name:26} {figures['ratio']:7.2f} {figures['wanted']:7.2f} "
        f"{min(figures['ratios']):6.2f} to {max(figures['ratios']):5.2f} "
        f"{figures['own']['cost']:12.4g} {figures['peer']['cost']:12.4g}  {figures['unit']:8}"
        + (f"{lengths[0]:6.1f} {lengths[1]:6.1f}" if None not in lengths else "")
        + ("" if (share := matrix_share(figures)) is None else f"  products {100 * share:.0f} %")
    )


def main() -> None:
    """Reads the command line, runs the parts, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, help="parts to run (all)")
    parser.add_argument("--repetitions", type=int, default=5, help="rounds that count, after the warm-up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--as-listed", action="store_true", help="take each side's first setting, and try no others")
    arguments = parser.parse_args()
    chosen = [part for part in PARTS if arguments.only is None or part.name in arguments.only]
    lines = [f"{'':26} {'ratio':>7} {'wanted':>7} {'of turns':>15} {'own s':>12} {'peer s':>12}  {'a':8} mean lengths"]
    for part in chosen:
        own_settings, peer_settings = computed_here(part.own_settings)[0], computed_here(part.peer_settings)[0]
        if not arguments.as_listed:
            tried = try_all(part, arguments.threads)
            keep_tried(results("bench_tried"), part.name, tried)
            own_settings, peer_settings = (tried[side][0]["settings"] for side in ("own", "peer"))
        figures = measure(part, own_settings, peer_settings, arguments.repetitions, arguments.threads)
        keep(results("bench"), part.name, figures)
        lines.append(row(part.name, figures))
        print(lines[-1], flush=True)
    if arguments.only is None or quality.NAME in arguments.only:
        figures = measure_quality(arguments.threads, search=not arguments.as_listed)
        keep(results("bench"), quality.NAME, figures)
        lines.append(row(quality.NAME, figures))
    print(f"\n{machine()}; load average {os.getloadavg()[0]:.2f}; commit {commit()}", *lines, sep="\n")


if __name__ == "__main__":
    main()
