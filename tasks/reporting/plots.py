"""Pictures of a run: what the policy gained and what it paid for it, and how far each version comes beside people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluation.comparison import ENDS
from models.records import StepMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # loads much

KL = "objective/kl"
CURVES = {
    "objective/scores": "mean score",
    KL: "KL to the base, nats a completion",
    "objective/entropy": "entropy, nats a completion",
}
INK, FAINT = "#1f4e79", "#c9d3dd"
COLOURS, OPTIMISTIC = (INK, "#d55e00", "#009e73", "#cc79a7"), "#9a9a9a"
VERSION_NAMES = {
    **{"pretrained": "pretrained", "sft": "fine-tuned\non demonstrations"},
    **{"best_of_n": "best of {best_of}\nby the reward", "policy": "tuned policy"},
}

Share = tuple[float, float, float]
"""A share with the ends of its interval."""


def kl_by_update(updates: Iterable[StepMetrics]) -> dict[int, float]:
    """Update -> KL of the batch that was learned from, in nats a completion."""
    return {one.step: one.values[KL] for one in updates if KL in one.values}


def marks_of(told: Mapping[str, Any]) -> dict[str, int]:
    """What to mark on the way -> its update, of a run's figures: the policy that was kept, and the one that the headline judge liked best."""
    marks = {"kept": told.get("tuning_kept_update"), f"{told['judge']}'s best": told.get("peak_update")}
    return {mark: update for mark, update in marks.items() if update is not None}


def bars_of(told: Mapping[str, Any]) -> str:
    """What the error bars of a comparison with people's texts are."""
    return f"bars: 95 % intervals over {told['reference_prompts_asked']} held-out prompts"


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

    kl = [step.values[KL] for step in steps]
    scores = [step.values["objective/scores"] for step in steps]
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(kl, scores, color=FAINT, zorder=1)
    dots = axes.scatter(kl, scores, c=[step.step for step in steps], cmap="viridis", s=24, zorder=2)
    for place in sorted({0, len(steps) - 1}):
        text = f"update {steps[place].step}"
        axes.annotate(text, (kl[place], scores[place]), xytext=(6, 6), textcoords="offset points")
    axes.set_xlabel(CURVES[KL])
    axes.set_ylabel(CURVES["objective/scores"])
    axes.grid(color=FAINT, linewidth=0.5)
    figure.colorbar(dots, label="update", ticks=MaxNLocator(integer=True))
    return figure


def plot_checks(
    checks: Sequence[StepMetrics],
    kl_nats: Mapping[int, float],
    judges: Mapping[str, Mapping[str, Any]],
    marks: Mapping[str, int],
) -> "Figure":
    """The checks of a policy on its way, by update: above what each judge says, below what the reward says, and what it cost.

    `checks`: steps with `score` and `<judge>/win_rate` (and its ends); `kl_nats`: update -> KL of the batch that was learned from; `judges`:
    judge -> whether it is `independent` (one that is not is grey and dotted); `marks`: what to mark -> update.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    updates = [step.step for step in checks]
    figure = Figure(figsize=(8, 7), layout="constrained", facecolor="white")
    said, cost = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    colours = iter(COLOURS)
    for judge in (name for name in judges if f"{name}/win_rate" in checks[0].values):
        colour = next(colours) if judges[judge]["independent"] else OPTIMISTIC
        middle, low, high = ([step.values[f"{judge}/win_rate{end}"] for step in checks] for end in ENDS)
        said.plot(
            updates, middle, color=colour, marker="o", linestyle="-" if colour != OPTIMISTIC else ":", label=judge
        )
        said.fill_between(updates, low, high, color=colour, alpha=0.15, linewidth=0)
    said.axhline(0.5, color="black", linestyle="--", linewidth=1, zorder=1)
    said.set_ylim(0, 1)
    said.set_ylabel("win rate over the policy as it began")
    said.set_title("What judges say on validation prompts (bands: 95 %)", loc="left")
    cost.plot(updates, [step.values["score"] for step in checks], color=INK, marker="o", label="mean score")
    cost.set_ylabel("mean score, standard deviations")
    beside = cost.twinx()
    beside.plot(list(kl_nats), list(kl_nats.values()), color="dimgray", linestyle="--", label="KL to the base")
    beside.set_ylabel("KL to the base, nats a completion")
    for axes in (said, cost):
        axes.grid(color=FAINT, linewidth=0.5)
        for update in set(marks.values()):
            axes.axvline(update, color="black", linewidth=0.8, zorder=1)
    for row, (mark, update) in enumerate(marks.items()):
        side, away = ("left", 4) if 2 * update < updates[-1] else ("right", -4)
        said.annotate(mark, (update, 0.3 + 0.06 * row), xytext=(away, 0), textcoords="offset points", ha=side)
    cost.set_xlabel("update")
    cost.xaxis.set_major_locator(MaxNLocator(integer=True))
    said.legend(loc="lower left", frameon=False)
    lines = [*cost.get_lines()[:1], *beside.get_lines()]
    cost.legend(lines, [str(line.get_label()) for line in lines], loc="lower right", frameon=False)
    return figure


def plot_against_kl(
    checks: Sequence[StepMetrics],
    kl_nats: Mapping[int, float],
    judges: Mapping[str, Mapping[str, Any]],
    kept: int | None,
) -> "Figure":
    """What each judge and the policy's own score say, against how far it has gone: where they part, it pleases its reward alone.

    As `plot_checks`; checks whose KL is not known, the last one say, are left out. `kept`: the update that was kept, if one was chosen.
    """
    from matplotlib.figure import Figure

    known = sorted((one for one in checks if one.step in kl_nats), key=lambda one: kl_nats[one.step])
    kl = [max(0.0, kl_nats[one.step]) for one in known]
    figure = Figure(figsize=(8, 4.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    colours = iter(COLOURS)
    for judge in (name for name in judges if f"{name}/win_rate" in checks[0].values):
        independent = judges[judge]["independent"]
        colour = next(colours) if independent else OPTIMISTIC
        rates = [one.values[f"{judge}/win_rate"] for one in known]
        axes.plot(kl, rates, color=colour, marker="o", linestyle="-" if independent else ":", label=judge)
    axes.set_ylim(0, 1)
    axes.axhline(0.5, color="black", linestyle="--", linewidth=1, zorder=1)
    axes.set_ylabel("win rate over the policy as it began")
    axes.set_xlabel(CURVES[KL])
    axes.grid(color=FAINT, linewidth=0.5)
    beside = axes.twinx()
    beside.plot(kl, [one.values["score"] for one in known], color="dimgray", linestyle="--", label="its own score")
    beside.set_ylabel("mean score, standard deviations")
    if kept in kl_nats:
        axes.axvline(max(0.0, kl_nats[kept]), color="black", linewidth=0.8, zorder=1)
        axes.annotate("kept", (max(0.0, kl_nats[kept]), 0.03), xytext=(4, 0), textcoords="offset points")
    lines = [*axes.get_lines()[: len(axes.get_legend_handles_labels()[0])], *beside.get_lines()]
    figure.legend(lines, [str(line.get_label()) for line in lines], loc="outside lower left", ncols=3, frameon=False)
    return figure


def plot_calibration(bands: Sequence[Mapping[str, float]]) -> "Figure":
    """How often a reward is right against how sure it was, a dot for each band of pairs, as large as these are many; the line is what it claims."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.plot([0.5, 1], [0.5, 1], color="black", linestyle="--", linewidth=1, zorder=1)
    sure = [band["mean_probability"] for band in bands]
    most = max(band["num_pairs"] for band in bands)
    sizes = [20 + 180 * band["num_pairs"] / most for band in bands]
    axes.plot(sure, [band["accuracy"] for band in bands], color=INK, linewidth=1)
    axes.scatter(sure, [band["accuracy"] for band in bands], s=sizes, color=INK, zorder=2)
    for band in bands:
        place = (band["mean_probability"], band["accuracy"])
        axes.annotate(f"{band['num_pairs']:,}", place, xytext=(0, 10), textcoords="offset points", ha="center")
    axes.set_xlim(0.48, 1.02)
    axes.set_ylim(-0.02, 1.08)
    axes.set_xlabel("how sure the reward model is")
    axes.set_ylabel("share of pairs that it orders rightly")
    axes.grid(color=FAINT, linewidth=0.5)
    return figure


def plot_preferred_to_reference(
    shares: Mapping[str, Mapping[str, Share]], judges: Mapping[str, Mapping[str, Any]], best_of: int, bars: str
) -> "Figure":
    """The share of each version preferred to the human reference, a colour for each judge (Stiennon et al. 2020, figure 1).

    `shares`: judge -> version -> share; `judges`: judge -> what it has `learned_from`, and whether it is `independent` (one that is not is
    grey and dotted); the first one's numbers stand beside its points; `bars`: what the error bars are.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    figure = Figure(figsize=(8.4, 5.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    versions = [name for name in VERSION_NAMES if any(name in own for own in shares.values())]
    colours = iter(COLOURS)
    for place, (judge, own) in enumerate(shares.items()):
        beside = 0.14 * (place - (len(shares) - 1) / 2)
        points = {versions.index(name) + beside: own[name] for name in versions if name in own}
        colour = next(colours) if judges[judge]["independent"] else OPTIMISTIC
        _draw_shares(axes, points, colour, f"{judge}: has learned from {judges[judge]['learned_from']}")
        for where, (share, *_) in points.items() if place == 0 else ():
            axes.annotate(
                f"{share:.0%}", (where, share), xytext=(-9, 5), textcoords="offset points", ha="right", color=colour
            )
    axes.axhline(0.5, color="black", linestyle="--", linewidth=1, zorder=1)
    axes.annotate(
        "human\nreference",
        (1, 0.5),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
    )
    axes.set_xticks(range(len(versions)), [VERSION_NAMES[name].format(best_of=best_of) for name in versions])
    axes.set_xlim(-0.5, len(versions) - 0.5)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MultipleLocator(0.1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("preferred to the human reference")
    axes.set_xlabel(bars, labelpad=10, color="dimgray", fontsize=9)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    unlearned = ", ".join(name for name in shares if judges[name]["learned_from"] == "nothing") or "no judge here"
    axes.set_title(f"Preferred to what people wrote\n{unlearned} has learned from nothing", loc="left", fontsize=13)
    figure.legend(loc="outside lower left", frameon=False, fontsize=10)
    return figure


def _draw_shares(axes: "Axes", points: Mapping[float, Share], colour: str, label: str) -> None:
    """A judge's shares, by their place on the x axis, with error bars."""
    middle, low, high = (np.array(ends) for ends in zip(*points.values(), strict=True))
    is_dotted = colour == OPTIMISTIC
    axes.errorbar(
        list(points),
        middle,
        yerr=[middle - low, high - middle],
        color=colour,
        marker="s" if is_dotted else "o",
        linestyle=":" if is_dotted else "-",
        **{"markersize": 7, "linewidth": 1, "elinewidth": 2, "capsize": 4, "label": label},
    )
