"""The part `quality` of `make bench`: seconds of tuning until the rule of the tiny world finds .90 of the completions of held-out prompts helpful.

Both sides start from the same base, reward model and prompts (three seeds), make 60 updates of 64 completions at most, and stop after each to
complete 200 held-out prompts four times, which is not timed. Settings come from a small search for each side, made with a seed of its own: learning
rate and passes over a batch, then, with the best of these, minibatches and precision, and for ours the value model. The quickest counts, or with
`--as-listed` those below.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median

from benchmarks.quality.material import make_material
from benchmarks.turns import Contender
from labeling.worlds.household import is_helpful

NAME, WANTED, HELPFUL = "quality", 3.0, 0.90
SEEDS, SEED_OF_SEARCH = (64, 65, 66), 0
MODULES = {"own": "benchmarks.own.quality", "peer": "benchmarks.peers.trl_quality"}
NUM_UPDATES, NUM_SAMPLES = 60, 4
START = {"precision": "float32", "num_minibatches": 4}
FIRST = tuple({"learning_rate": rate, "num_epochs": epochs} for rate in (2e-4, 4e-4, 8e-4) for epochs in (1, 2))
THEN: dict[str, tuple[dict, ...]] = {
    "own": ({"num_minibatches": 2}, {"value_model": "shared"}, {"value_model": "shared", "learning_rate": 8e-4}),
    "peer": ({"num_minibatches": 2}, {"precision": "autocast"}, {"num_minibatches": 2, "precision": "autocast"}),
}
OWN_SETTINGS: dict = START | FIRST[2] | {"value_model": "shared"}
PEER_SETTINGS: dict = START | FIRST[3]
"""The second quickest of the search on either side (benchmarks/results/bench_tried.json): the quickest, at twice the learning rate, learned unsteadily
with seeds 61 and 62, TRL's most of all. None of SEEDS had been run before this was settled."""


def time_to_quality(python: Path, module: str, settings: Mapping, material: Path, threads: int, limit: float) -> dict:
    """`seconds` of tuning and `updates` until HELPFUL, `helpful` at every check, and whether that was `reached` at all: within NUM_UPDATES, and not
    given up after `limit` seconds."""
    asked = NUM_SAMPLES * json.loads(material.read_text(encoding="utf-8"))["held_out"]
    given = {"material": str(material), "threads": threads, "num_updates": NUM_UPDATES, "num_samples": NUM_SAMPLES}
    seconds, helpful = 0.0, []
    with Contender(python, module, {**settings, **given}) as contender:
        while True:
            helpful.append(round(fmean(map(is_helpful, asked, contender.repeat()["completions"])), 4))
            updates = len(helpful) - 1
            if helpful[-1] >= HELPFUL or updates == NUM_UPDATES or seconds > limit:
                told = {"seconds": round(seconds, 2), "updates": updates, "reached": helpful[-1] >= HELPFUL}
                return told | {"helpful": helpful}
            seconds += contender.repeat()["seconds"]


def search(pythons: Mapping[str, Path], threads: int) -> dict[str, list[dict]]:
    """The seconds of every setting of both sides, the quickest of those that reached HELPFUL foremost."""
    material, tried = make_material(SEED_OF_SEARCH), {}
    for side, module in MODULES.items():
        rows: list[dict] = []

        def try_out(settings: dict, side: str = side, module: str = module, rows: list[dict] = rows) -> None:
            limit = min((one["cost"] for one in rows if one["reached"]), default=float("inf"))
            found = time_to_quality(pythons[side], module, settings, material, threads, limit)
            rows.append({"cost": found["seconds"], "settings": settings} | found)
            rows.sort(key=lambda row: (not row["reached"], row["cost"]))
            print(f"  {NAME}: {side} {settings}: {found['seconds']} s, {found['helpful'][-1]:.3f}", flush=True)

        for settings in FIRST:
            try_out(START | settings)
        best = rows[0]["settings"]
        for changes in THEN[side]:
            try_out(best | changes)
        tried[side] = rows
    return tried


def measure_quality(pythons: Mapping[str, Path], settings: Mapping[str, dict], threads: int) -> dict:
    """The ratio, a median over the seeds; a seed in which a side did not get there counts with the seconds of all its updates."""
    turns: dict[str, list[dict]] = {side: [] for side in MODULES}
    for seed in SEEDS:
        material = make_material(seed)
        for side, module in MODULES.items():
            found = time_to_quality(pythons[side], module, settings[side], material, threads, float("inf"))
            turns[side].append({"seed": seed} | found)
            print(f"  {NAME}: seed {seed}, {side}: {found['seconds']} s, {found['updates']} updates", flush=True)
    seeds = [theirs["seconds"] / ours["seconds"] for ours, theirs in zip(turns["own"], turns["peer"], strict=True)]
    told = {
        "ratio": round(median(seeds), 3),
        "wanted": WANTED,
        "unit": "seed",
        "ratios": [round(one, 3) for one in seeds],
    }
    return told | {
        side: {"settings": settings[side], "cost": median(one["seconds"] for one in turns[side]), "turns": turns[side]}
        for side in MODULES
    }
