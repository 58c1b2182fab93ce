"""Draws what benchmarks/overoptimization/runs.py found: judges and score against the distance from the base.

.venv/bin/python -m benchmarks.overoptimization.picture
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLOURS = {"one reward model": "#d55e00", "ensemble of 5": "#1f4e79"}
FAINT = "#c9d3dd"
WAYS = {"best_of_n": "best of n", "ppo": "PPO"}


def draw(rows: Sequence[Mapping[str, Any]], destination: Path) -> None:
    """A column for each share of the rankings; above best-of-n, below PPO. Thick: the judge of the facts; dashed: held-out workers; thin
    and dotted: the score itself, on the axis at the right. Faint lines are seeds."""
    from matplotlib.figure import Figure

    shares = sorted({row["share_of_rankings"] for row in rows}, reverse=True)
    figure = Figure(figsize=(4.2 * len(shares), 7.6), layout="constrained", facecolor="white")
    panels = figure.subplots(len(WAYS), len(shares), sharex="row", sharey="row", squeeze=False)
    for line, (way, name) in enumerate(WAYS.items()):
        for column, share in enumerate(shares):
            axes = panels[line][column]
            beside = axes.twinx()
            for row in (row for row in rows if row["share_of_rankings"] == share):
                _draw_row(axes, beside, row[way], row["reward"], is_first=row["seed"] == rows[0]["seed"])
            axes.set_ylim(0, 1)
            axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--", zorder=1)
            axes.grid(color=FAINT, linewidth=0.5)
            axes.set_title(f"{name}, {share:.0%} of the rankings", loc="left", fontsize=11)
            axes.set_xlabel("distance from the base, √KL (√nats)")
            if column == 0:
                axes.set_ylabel("win rate over the base")
            if column == len(shares) - 1:
                beside.set_ylabel("mean score by its own reward")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False)
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination)


def _draw_row(axes: Any, beside: Any, curves: Mapping[str, Any], reward: str, *, is_first: bool) -> None:
    colour, distance = COLOURS[reward], np.sqrt(curves["kl_nats"])
    for judge, dash in (("restaurant_facts", "-"), ("held_out_reward", "--")):
        label = f"{reward}: {judge}" if is_first else None
        axes.plot(
            distance, curves["judges"][judge]["win_rate"], dash, color=colour, linewidth=1.8, alpha=0.8, label=label
        )
    axes.plot([], [], ":", color=colour, linewidth=1, label=f"{reward}: its own score" if is_first else None)
    beside.plot(distance, curves["score"], ":", color=colour, linewidth=1)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent.parent
    told = json.loads((here / "results" / "overoptimization.json").read_text(encoding="utf-8"))
    draw(told["rows"], here.parent / "docs" / "pictures" / "overoptimization.svg")
