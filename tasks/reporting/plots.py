"""Pictures of a PPO run: what the policy gained and what it paid for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.records import StepMetrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # loads much

CURVES = {
    "objective/scores": "mean score",
    "objective/kl": "KL to the base, nats a completion",
    "objective/entropy": "entropy, nats a completion",
}
INK, FAINT = "#1f4e79", "#c9d3dd"


def plot_updates(steps: Sequence[StepMetrics]) -> "Figure":
    """Score, KL and entropy against the update, one below the other."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 9), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(len(CURVES), sharex=True), CURVES.items(), strict=True):
        axes.plot([step.step for step in steps], [step.values[name] for step in steps], color=INK, marker=".")
        axes.set_ylabel(title)
        axes.grid(color=FAINT, linewidth=0.5)
    axes.set_xlabel("update")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def plot_score_against_kl(steps: Sequence[StepMetrics]) -> "Figure":
    """The way of the policy: score over KL, a dot per update, first and last named."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    kl = [step.values["objective/kl"] for step in steps]
    scores = [step.values["objective/scores"] for step in steps]
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(kl, scores, color=FAINT, zorder=1)
    dots = axes.scatter(kl, scores, c=[step.step for step in steps], cmap="viridis", s=24, zorder=2)
    for place in sorted({0, len(steps) - 1}):
        text = f"update {steps[place].step}"
        axes.annotate(text, (kl[place], scores[place]), xytext=(6, 6), textcoords="offset points")
    axes.set_xlabel(CURVES["objective/kl"])
    axes.set_ylabel(CURVES["objective/scores"])
    axes.grid(color=FAINT, linewidth=0.5)
    figure.colorbar(dots, label="update", ticks=MaxNLocator(integer=True))
    return figure
