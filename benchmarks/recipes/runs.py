"""The same human labels, every recipe: how good is what each makes of them, how far from the base, and in what time?

    .venv/bin/python -m benchmarks.recipes tiny --seeds 61 62 63
    REIN_DATA=/path/to/data .venv/bin/python -m benchmarks.recipes e2e --seeds 61 --recipes ppo dpo
    REIN_MODEL=/path/to/SmolLM2-135M-Instruct .venv/bin/python -m benchmarks.recipes tiny --seeds 61 --recipes ai_labels judge

Each recipe is a run of its world's preset with what benchmarks/recipes/recipes.py sets otherwise, on held-out prompts and by the preset's headline
judge, which nothing was tuned to please and which chooses nothing. Runs of a seed share base, labels and reward through the cache. Writes
benchmarks/results/recipes.json after each one, where other rows stay, the picture, and the table in docs/results.md.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.recipes.picture import draw
from benchmarks.recipes.recipes import E2E_THUMBS, TUNERS, WORLDS, World
from benchmarks.recipes.thumbs import write_thumbs
from benchmarks.trials import PROJECT, circumstances, keep, read_rows, run_flow
from models.settings.labels import FeedbackFiles
from models.settings.pipeline import PipelineConfig
from models.settings.presets import load_config

RESULTS = PROJECT / "benchmarks" / "results" / "recipes.json"
PICTURE = PROJECT / "docs" / "pictures" / "recipes.svg"
PAGE = PROJECT / "docs" / "results.md"
PLACE = ("world", "recipe", "seed")
BEGIN, END = "<!-- python -m benchmarks.recipes -->", "<!-- end of the table of recipes -->"
FUNCTION = "benchmarks.recipes.word_overlap:reward"


def row_of(world: World, recipe: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of a recipe. `seconds` is what its own stages took when they were made: its rewards, but for `dpo`, which needs
    none, and its tunings. `reward_accuracy`: with people's own strict preferences on held-out prompts."""
    judge = report["judge"]
    own = {"tuning"} if recipe == "dpo" else {"tuning", "reward"}
    seconds = [_seconds(Path(place)) for stage, place in report["artifacts"].items() if stage.rpartition("/")[2] in own]
    counted = [f"{name}_{model}" for name in world.counted for model in ("base", "policy")]
    return {
        "kl_nats": report["kl_nats"],
        "own_score": report["score_policy"],
        "own_score_base": report["score_base"],
        "judge": judge,
        "win_rate": report["judges"][judge]["win_rate"],
        "low": report["judges"][judge]["win_rate_low"],
        "high": report["judges"][judge]["win_rate_high"],
        **{name: report[name] for name in counted},
        "reward_accuracy": report.get("reward_labeler_accuracy"),
        "reward_calibration_error": report.get("reward_calibration_error"),
        "seconds": round(sum(seconds), 1),
    }


def _seconds(artifact: Path) -> float:
    return json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["seconds"]


def held_out_still(preset: PipelineConfig, heard: set[str]) -> tuple[str, ...]:
    """The override by which those labelers are held out of a preset's who have been heard: others would be refused as misspelt."""
    names = [name for name in preset.consensus.held_out_labelers if name in heard]
    return (f"consensus.held_out_labelers={json.dumps(names)}",)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each world and recipe, figures as means over the seeds, in the order of recipes.py."""
    lines = [
        "| world | recipe | seeds | win rate (lowest to highest) | what the judge counts, base -> policy | KL, nats | own score, base -> policy | seconds |",
        "|---|---|---:|---:|---|---:|---:|---:|",
    ]
    for name, world in WORLDS.items():
        for recipe in world.recipes:
            own = [row for row in rows if (row["world"], row["recipe"]) == (name, recipe)]
            if own:
                lines.append(_line(name, world, recipe, own))
    return "\n".join(lines)


def _line(name: str, world: World, recipe: str, own: Sequence[Mapping[str, Any]]) -> str:
    def mean(figure: str) -> float:
        return fmean(
            row[figure] for row in own if row[figure] is not None
        )  # seconds are null of a run that was stopped on its way

    rates = [row["win_rate"] for row in own]
    counted = "; ".join(
        f"{figure.replace('_', ' ')} {mean(f'{figure}_base'):.2f} -> {mean(f'{figure}_policy'):.2f}"
        for figure in world.counted
    )
    return (
        f"| {name} | {recipe} | {len(own)} | {mean('win_rate'):.3f} ({min(rates):.3f} to {max(rates):.3f}) | {counted} | {mean('kl_nats'):.1f} "
        f"| {mean('own_score_base'):.2f} -> {mean('own_score'):.2f} | {mean('seconds'):.0f} |"
    )


def write_table(page: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Puts the table between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Reads the command line, runs, writes and draws what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", choices=WORLDS)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--recipes", nargs="+", help="of the world's; left out, all")
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    given = parser.parse_args()
    world = WORLDS[given.world]
    if unknown := set(given.recipes or ()) - set(world.recipes):
        parser.error(f"no recipe {', '.join(sorted(unknown))}; there are {', '.join(world.recipes)}")
    for seed in given.seeds:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            environment = {**os.environ, "REIN_FUNCTIONS": FUNCTION, "PYTHONPATH": str(PROJECT)}
            preset = load_config(PROJECT / world.preset, [f"seed={seed}"])
            of_thumbs: tuple[str, ...] = ()
            if isinstance(preset.labels, FeedbackFiles):
                environment["REIN_THUMBS"] = f"{folder}/thumbs"
                of_thumbs = held_out_still(preset, write_thumbs(preset, Path(folder, "thumbs")))
            for recipe in given.recipes or world.recipes:
                asked = (*world.always, *world.recipes[recipe], f"seed={seed}", *given.overrides)
                if E2E_THUMBS in asked:
                    asked = (*asked, *of_thumbs)
                flow = "iterate" if recipe == "iterate" else world.flow
                report = run_flow(flow, world.preset, asked, Path(folder) / ".rein", environment)
                told = {"world": given.world, "recipe": recipe, "seed": seed} | row_of(world, recipe, report)
                keep(RESULTS, circumstances() | told, PLACE)
    rows = read_rows(RESULTS)
    draw(rows, TUNERS, PICTURE)
    write_table(PAGE, rows)
    print(table(rows))
