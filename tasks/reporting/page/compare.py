"""Several runs on one page: what was set otherwise, figures side by side, curves over each other, what each policy wrote to the same prompts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from models.conversation import transcript
from models.errors import DataError
from models.evaluation.metrics import Match
from models.records import StepMetrics, read_records
from models.settings.pipeline import PLACES
from tasks.reporting.page.page import environment, steps_of
from tasks.reporting.page.svg import inline_svg
from tasks.reporting.plots import COLOURS, CURVES, FAINT, KL, kl_by_update
from tasks.running.pipeline_run import flatten
from tasks.running.run_name import own_name
from tasks.running.storage import Manifest, read_manifest_in
from tasks.tracking.tracked_run import parameter_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # loads much

FIRST_FIGURES = {
    "win_rate": "preferred to the base",
    "win_rate_low": "preferred to the base, at least (95 %)",
    "win_rate_high": "preferred to the base, at most (95 %)",
    "kl_nats": "KL to the base, nats",
    "reward_labeler_accuracy": "reward model, people's own preferences",
    "reward_labeler_accuracy_low": "reward model, at least (95 %)",
    "reward_labeler_accuracy_high": "reward model, at most (95 %)",
    "score_policy": "its own score",
    "end_rate": "texts that end by themselves",
    "distinct_completions": "different texts",
    "krippendorff_alpha": "agreement of the labelers (alpha)",
    "seconds": "seconds",
}
NUM_PROMPTS = 6
RUN_COLOURS = (*COLOURS, "#56b4e9", "#e69f00", "#8c564b", "#b8a800")
"""Told apart also by those who see red and green alike."""

Row = tuple[str, list[Any]]
"""A figure's name and what each run has of it."""


@dataclass(frozen=True)
class Told:
    """What a run has left. `made`: stage -> manifest, of several rounds or parts the last."""

    folder: Path
    report: dict[str, Any]
    settings: dict[str, str]
    made: dict[str, Manifest]

    @property
    def name(self) -> str:
        return self.report["prefect_flow_run_name"]


def find_report(named: str, root: Path) -> Path:
    """The report folder that a path, the name of a flow run, what stands in parentheses at the end of it, or the first signs of its id lead to.

    Raises DataError where there is none or several; the newest are named.
    """
    given = Path(named)
    if (given / "report.json").is_file():
        return given
    if given.is_file() and (given.parent / "report.json").is_file():
        return given.parent
    folders = sorted((root / "reports").glob("*/report.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    names = {path.parent: json.loads(path.read_text(encoding="utf-8"))["prefect_flow_run_name"] for path in folders}
    found = [
        folder for folder, name in names.items() if named in (name, own_name(name)) or folder.name.startswith(named)
    ]
    if len(found) == 1:
        return found[0]
    newest = ", ".join(list(names.values())[:8]) or "none"
    which = f"{len(found)} runs are called so; give the folder of one" if found else "no report of such a run"
    raise DataError(f"{named}: {which}; the newest below {root}: {newest}")


def read_told(folder: Path) -> Told:
    """What the run with this report folder has left. Raises DataError where something of it is not there any more."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    tree = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    made = {}
    for name, place in report["artifacts"].items():
        if Path(place).is_dir():  # what `rein prune` removed is missing from the page alone
            made[name.rpartition("/")[2]] = read_manifest_in(Path(place))
    settings = {key: parameter_text(value) for key, value in flatten(tree).items()}
    return Told(folder, report, settings, made)


def write_comparison(folders: Sequence[Path], destination: Path) -> None:
    """The page about these runs, in their order."""
    runs = [read_told(folder) for folder in folders]
    keys = sorted({key for one in runs for key in one.settings if not key.startswith(PLACES)})
    differing = [key for key in keys if len({one.settings.get(key) for one in runs}) > 1]
    text = (
        environment()
        .get_template("compare.html.j2")
        .render(
            runs=runs,
            settings=[(key, [one.settings.get(key, "–") for one in runs]) for key in differing],
            first=first_figures(runs),
            others=other_figures(runs),
            plots=[(title, inline_svg(figure, title)) for title, figure in _plots(runs).items()],
            prompts=_same_prompts(runs),
        )
    )
    destination.write_text(text, encoding="utf-8")


def first_figures(runs: Sequence[Told]) -> list[Row]:
    """The figures that say most, those that any run has, with the word of every judge."""
    judges = list(dict.fromkeys(name for one in runs for name in one.report.get("judges", ())))
    rows = {words: [one.report.get(name) for one in runs] for name, words in FIRST_FIGURES.items()}
    rows |= {
        f"preferred to the base, by {judge}": [
            one.report.get("judges", {}).get(judge, {}).get("win_rate") for one in runs
        ]
        for judge in judges
    }
    return [(words, values) for words, values in rows.items() if any(value is not None for value in values)]


def other_figures(runs: Sequence[Told]) -> list[Row]:
    """All others that any run has and that differ."""
    names = dict.fromkeys(
        name
        for one in runs
        for name, value in one.report.items()
        if isinstance(value, int | float) and name not in FIRST_FIGURES
    )
    rows = [(name, [one.report.get(name) for one in runs]) for name in names]
    return [(name, values) for name, values in rows if len({str(value) for value in values}) > 1]


def _plots(runs: Sequence[Told]) -> dict[str, "Figure"]:
    """Title -> curves of all runs that have them."""
    updates = {one.name: steps_of(one.made, "tuning") for one in runs}
    checks = {one.name: steps_of(one.made, "evaluation") for one in runs}
    judge = {one.name: f"{one.report.get('judge')}/win_rate" for one in runs}
    kl = {name: kl_by_update(steps) for name, steps in updates.items()}
    rates = {
        name: [(step.step, step.values[judge[name]]) for step in steps if judge[name] in step.values]
        for name, steps in checks.items()
    }
    by_distance = {
        name: sorted((max(0.0, kl[name][step]), rate) for step, rate in points if step in kl[name])
        for name, points in rates.items()
    }
    win_rate = "win rate over the policy as it began"
    drawn = {
        "Headline judge by update": ("update", win_rate, rates),
        "Headline judge by distance": (CURVES[KL], win_rate, by_distance),
        "Its own score by update": ("update", "mean score", _curve(updates, "objective/scores")),
        "Distance by update": ("update", CURVES[KL], _curve(updates, KL)),
    }
    return {
        title: plot_runs(lines, across, up)
        for title, (across, up, lines) in drawn.items()
        if any(len(points) > 1 for points in lines.values())
    }


def _curve(steps: Mapping[str, Sequence[StepMetrics]], name: str) -> dict[str, list[tuple[float, float]]]:
    return {run: [(one.step, one.values[name]) for one in own if name in one.values] for run, own in steps.items()}


def plot_runs(lines: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> "Figure":
    """A line for each run through its points (x, y); runs without points keep their colour."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.2 + 0.2 * len(lines)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for place, (name, points) in enumerate(lines.items()):
        if points:
            colour = RUN_COLOURS[place % len(RUN_COLOURS)]
            axes.plot(*zip(*points, strict=True), color=colour, marker="." if len(points) > 1 else "o", label=name)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if across == "update":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=FAINT, linewidth=0.5)
    figure.legend(
        loc="outside lower left", frameon=False
    )  # one below the other: a name says what was set otherwise, and is long
    return figure


def _same_prompts(runs: Sequence[Told]) -> list[dict[str, Any]]:
    """What each policy wrote to the held-out prompts that all of them were asked; the base of the first run beside them."""
    played = []
    for one in (run for run in runs if "matches" in run.made):
        matches = read_records(one.made["matches"].artifact.folder / "samples.jsonl", Match)
        played.append((one, {match.prompt: match for match in reversed(matches)}))
    if not played:
        return []
    shared = [prompt for prompt in reversed(played[0][1]) if all(prompt in own for _, own in played)]
    return [
        {
            "prompt": transcript(prompt),
            "base": played[0][1][prompt].base_completion,
            "policies": [(run.name, own[prompt].policy_completion) for run, own in played],
        }
        for prompt in shared[:NUM_PROMPTS]
    ]
