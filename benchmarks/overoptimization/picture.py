"""Draws what benchmarks/overoptimization/runs.py found: judges and score against the distance from the base.

.venv/bin/python -m benchmarks.overoptimization.picture
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLOURS = {
    "one reward model": "#d55e00",
    "ensemble of 5, mean minus variance": "#1f4e79",
    "ensemble of 5, minimum": "#009e73",
}
FAINT = "#c9d3dd"
WAYS = {"best_of_n": "best of n", "ppo": "PPO"}
JUDGED = {"restaurant_facts": "-", "held_out_reward": "--"}


def draw(rows: Sequence[Mapping[str, Any]], destination: Path) -> None:
    """A line for each share of the rankings; at the left best-of-n, at the right PPO. Solid: the judge of the facts; dashed: held-out workers;
    dotted: the score itself, on the axis at the right. A dot is where PPO ended; several lines of a kind are seeds."""
    from matplotlib.figure import Figure

    shares = sorted({row["share_of_rankings"] for row in rows})
    figure = Figure(figsize=(9.6, 0.9 + 3.7 * len(shares)), layout="constrained", facecolor="white")
    panels = figure.subplots(len(shares), len(WAYS), sharex="col", squeeze=False)
    for share, line in zip(shares, panels, strict=True):
        for axes, (way, name) in zip(line, WAYS.items(), strict=True):
            beside = axes.twinx()
            for row in (row for row in rows if row["share_of_rankings"] == share):
                _draw_row(axes, beside, row[way], row["reward"])
            axes.set_ylim(0, 1)
            axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--", zorder=1)
            axes.grid(color=FAINT, linewidth=0.5)
            axes.set_title(f"{name}, {share:.0%} of the rankings", loc="left", fontsize=11)
        line[0].set_ylabel("win rate over the base")
        beside.set_ylabel("mean score by its own reward")
    for axes in panels[-1]:
        axes.set_xlabel("distance from the base, √KL (√nats)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once, loc="outside lower left", ncols=2, frameon=False)
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination)


def _draw_row(axes: Any, beside: Any, curves: Mapping[str, Any], reward: str) -> None:
    colour, distance = COLOURS[reward], np.sqrt(curves["kl_nats"])
    for judge, dash in JUDGED.items():
        rates = curves["judges"][judge]["win_rate"]
        axes.plot(distance, rates, dash, color=colour, linewidth=1.6, alpha=0.8, label=f"{reward}: {judge}")
        axes.plot(distance[-1], rates[-1], "o", color=colour, markersize=4)
    axes.plot([], [], ":", color=colour, linewidth=1, label=f"{reward}: its own score")
    beside.plot(distance, curves["score"], ":", color=colour, linewidth=1)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent.parent
    told = json.loads((here / "results" / "overoptimization.json").read_text(encoding="utf-8"))
    draw(told["rows"], here.parent / "docs" / "pictures" / "overoptimization.svg")
