"""Draws how often the shared and the personal scores foretell what people say of held-out prompts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.picture import over_seeds

COLOURS = {"shared": "#d55e00", "personal": "#1f4e79"}
FAINT = "#c9d3dd"


def draw(rows: Sequence[Mapping[str, Any]], destination: Path) -> None:
    """A panel for each world: a dot for each seed, those of one seed joined; beside them the mean over the seeds with its 95 % interval."""
    from matplotlib.figure import Figure

    worlds = list(dict.fromkeys(row["world"] for row in rows))
    figure = Figure(figsize=(4.8 * len(worlds), 4.2), layout="constrained", facecolor="white")
    for world, axes in zip(worlds, figure.subplots(1, len(worlds), squeeze=False)[0], strict=True):
        own = [row for row in rows if row["world"] == world]
        for row in own:
            axes.plot([0, 1], [row[name] for name in COLOURS], color=FAINT, linewidth=1, zorder=1)
        for place, (name, colour) in enumerate(COLOURS.items()):
            shares = [row[name] for row in own]
            axes.plot([place] * len(shares), shares, "o", color=colour, markersize=4, alpha=0.6)
            if len(shares) > 1:
                mean, low, high = over_seeds(shares)
                aside = place + (0.12 if place else -0.12)
                axes.errorbar([aside], [mean], [[mean - low], [high - mean]], fmt="s", color=colour, capsize=4)
                axes.annotate(f"{mean:.3f}", (aside, high), (0, 4), textcoords="offset points", ha="center")
        axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--", zorder=0)
        axes.set_xticks([0, 1], list(COLOURS))
        axes.set_xlim(-0.5, 1.5)
        axes.set_ylabel("share of held-out preferences foretold")
        axes.set_title(f"{world}: {own[0]['people']} people, {len(own)} seeds", loc="left", fontsize=11)
        axes.grid(color=FAINT, linewidth=0.5, axis="y")
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination)
