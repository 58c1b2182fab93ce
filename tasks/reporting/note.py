"""A run's report as a note in Markdown, for MLflow and Prefect, and the figures that stand first in it. Model output and names are escaped."""

from typing import Any

from models.evaluation.judges.people import describe_votes
from models.evaluation.references import FIGURE, share_lines
from models.plain_text import plain

# what people said themselves goes before their consensus, which is easier or harder by how it is made
HELD_OUT_ACCURACY = (
    "reward_labeler_accuracy",
    "reward_labeler_accuracy_low",
    "reward_labeler_accuracy_high",
    "reward_labeler_ceiling",
    "reward_length_rule",
    "reward_ngrams",
    "reward_accuracy",
)
KIND_FIGURES = (
    *("class_accuracy", "class_macro_f1", "class_ngrams_macro_f1", "class_auroc", "class_calibration_error"),
    *("personal_shared_accuracy", "personal_accuracy", "personal_gain_low", "personal_gain_high"),
)
"""Of some kinds of reward alone."""
AGREEMENT_FIGURES = ("krippendorff_alpha", "percent_agreement", "leave_one_out_agreement")
REWARD_FIGURES = (*HELD_OUT_ACCURACY, "reward_calibration_error", *KIND_FIGURES, *AGREEMENT_FIGURES)
POLICY_FIGURES = (
    *("win_rate", "win_rate_low", "win_rate_high", "helpful_base", "helpful_policy", "rude_base", "rude_policy"),
    *("score_base", "score_policy"),
    *("kl_nats", "end_rate", *HELD_OUT_ACCURACY, *KIND_FIGURES),
)
HEADLINE = ("win_rate", "win_rate_low", "win_rate_high", "kl_nats", *HELD_OUT_ACCURACY, *KIND_FIGURES)


def reward_note(report: dict[str, Any]) -> str:
    """The note of a run that ends with the reward model."""
    return f"**{report['result']}**\n\n{_headline(report, (*HELD_OUT_ACCURACY, *KIND_FIGURES))}{_remarks(report)}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:z.3f}"


def policy_note(report: dict[str, Any]) -> str:
    """The note of a run that ends with a policy."""
    beside_people = "".join(f"\n\n{line}." for line in share_lines(report))
    judged = "\n".join(
        f"| {kind} | {said['win_rate']:.3f} | {said['win_rate_low']:.3f} to {said['win_rate_high']:.3f} "
        f"| {_shown(said.get('win_rate_length_controlled'))} "
        f"| {said['learned_from']}{'; it chose the policy, by other prompts' if said['chose'] else ''} |"
        if "win_rate" in said
        else f"| {kind} | waits for votes | | | {said['learned_from']} |"
        for kind, said in report["judges"].items()
    )
    by = f"Judge: {report['judge'] or 'none that is independent'}."
    by += "".join(f"\n\n{line}" for line in describe_votes(report))
    heads = "| judge | win rate over the base | 95 % interval | at equal lengths | has learned from |\n|---|---|---|---|---|"
    judges = f"\n\n{by}\n\n{heads}\n{judged}"
    return f"**{report['result']}**\n\n{_headline(report, HEADLINE)}{judges}{beside_people}{_remarks(report)}"


def _headline(report: dict[str, Any], figures: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {report[name]:.3g}" for name in figures if report.get(name) is not None)


def _remarks(report: dict[str, Any]) -> str:
    """What has changed, who the labelers were, and all figures."""
    changed = f"\n\nChanged: {plain(report['changed'])}." if report["changed"] else ""
    simulated = "\n\nThe labelers of this run were **simulated**." if report["simulated_labelers"] else ""
    models = ", ".join(map(plain, report["ai_labelers"]))
    by_models = f"\n\nLabels of {models} are by **language models**, not by people." if models else ""
    against = ", ".join(report.get("upside_down_labelers", ()))  # flow `evaluate` asks no labelers
    named = f"\n\nThese labelers rank against the others: {plain(against)}." if against else ""
    shown = {name: value for name, value in report.items() if not name.startswith(FIGURE)}
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in shown.items() if isinstance(value, float | int))
    return f"{changed}{simulated}{by_models}{named}\n\n| figure | value |\n|---|---|\n{rows}"
