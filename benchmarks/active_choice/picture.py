"""Draws held-out accuracy against the number of judgements, a line for each way to choose them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trials import student_interval

COLOURS = {"random": "#7f7f7f", "disagreement": "#1f4e79", "doubt": "#d55e00"}
FAINT = "#c9d3dd"


def draw(rows: Sequence[Mapping[str, Any]], destination: Path) -> None:
    """A panel for each world; at the left the means over the seeds, at the right how far each choice is ahead of random choice with the same seed,
    with the 95 % interval over the seeds."""
    from matplotlib.figure import Figure

    worlds = list(dict.fromkeys(row["world"] for row in rows))
    figure = Figure(figsize=(9.6, 0.6 + 3.4 * len(worlds)), layout="constrained", facecolor="white")
    for world, (left, right) in zip(worlds, figure.subplots(len(worlds), 2, squeeze=False), strict=True):
        own = {name: _curves(rows, world, name) for name in COLOURS}
        labels = next(row["labels"] for row in rows if row["world"] == world)
        for name, colour in COLOURS.items():
            left.plot(labels, own[name].mean(axis=0), "o-", color=colour, markersize=3, label=name)
            if name != "random":
                _draw_gain(right, labels, own[name] - own["random"], colour, name)
        right.axhline(0, color="black", linewidth=0.8, linestyle="--")
        left.set_title(f"{world}, {len(own['random'])} seeds: held-out accuracy", loc="left", fontsize=11)
        right.set_title("ahead of random choice", loc="left", fontsize=11)
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xlabel("judgements")
            axes.grid(color=FAINT, linewidth=0.5)
        left.legend(frameon=False)
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination)


def _curves(rows: Sequence[Mapping[str, Any]], world: str, name: str) -> np.ndarray:
    """[seed, round]."""
    return np.array([row["accuracy"] for row in rows if (row["world"], row["chosen_by"]) == (world, name)])


def _draw_gain(axes: Any, labels: Sequence[int], gains: np.ndarray, colour: str, name: str) -> None:
    axes.plot(labels, gains.mean(axis=0), "o-", color=colour, markersize=3, label=name)
    if len(gains) > 1:
        _, low, high = zip(*map(student_interval, gains.T), strict=True)
        axes.fill_between(labels, low, high, color=colour, alpha=0.15, linewidth=0)
