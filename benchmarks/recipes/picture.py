"""Draws own score and independent judge against the distance from the base, a dot for each recipe and seed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLOURS = ("#1f4e79", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f", "#7f7f7f", "#56b4e9", "#e69f00")
FAINT = "#c9d3dd"


def draw(rows: Sequence[Mapping[str, Any]], recipes: Sequence[str], destination: Path) -> None:
    """A line of panels for each world: at the left what the reward says that these recipes share, at the right what a judge says that nothing
    was tuned to please. The KL of best-of-n is its bound."""
    from matplotlib.figure import Figure

    worlds = list(dict.fromkeys(row["world"] for row in rows))
    figure = Figure(figsize=(9.6, 0.9 + 3.7 * len(worlds)), layout="constrained", facecolor="white")
    panels = figure.subplots(len(worlds), 2, sharex="row", squeeze=False)
    for world, (score, judge) in zip(worlds, panels, strict=True):
        for recipe, colour in zip(recipes, COLOURS, strict=True):
            own = [row for row in rows if (row["world"], row["recipe"]) == (world, recipe)]
            distance = np.sqrt([max(0.0, row["kl_nats"]) for row in own])
            gained = [row["own_score"] - row["own_score_base"] for row in own]
            rates = [row["win_rate"] for row in own]
            score.plot(distance, gained, "o", color=colour, label=recipe.replace("_", " "))
            reach = np.abs([[row["win_rate"] - row["low"], row["high"] - row["win_rate"]] for row in own]).T
            judge.errorbar(distance, rates, yerr=reach.reshape(2, -1), fmt="o", color=colour, elinewidth=0.8)
        named = {row["judge"] for row in rows if row["world"] == world}
        score.set_title(f"{world}: its own score, gained over the base", loc="left", fontsize=11)
        judge.set_title(f"{world}: win rate over the base by {', '.join(sorted(named))}", loc="left", fontsize=11)
        judge.axhline(0.5, color="black", linewidth=0.8, linestyle="--", zorder=1)
        for axes in (score, judge):
            axes.grid(color=FAINT, linewidth=0.5)
            axes.set_xlabel("distance from the base, √KL (√nats)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination)
