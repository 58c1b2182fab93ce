"""What a run has shown, in a sentence that a person understands: the same in the terminal, in Prefect, in MLflow and in the report."""

from collections.abc import Mapping
from typing import Any

from models.written_numbers import nats


def policy_result(report: Mapping[str, Any]) -> str:
    """BETTER, WORSE or NOT SHOWN: by the headline judge, how surely, and at what KL; or why nobody can say.

    Better and worse are said where the 95 % interval of the win rate leaves one half out. A reward model whose interval holds one half has taught
    noise, and that is said besides; so is a win that equal lengths do not show.
    """
    judge = report["judge"]
    if judge is None:
        said = "NO INDEPENDENT JUDGE: nothing here says that the policy got better; name one in evaluation.judges."
    elif "win_rate" not in report["judges"][judge]:
        said = (
            f"WAITS FOR VOTES: nobody can say yet whether the policy got better; {judge} will, when enough have voted."
        )
    else:
        said = _comparison(judge, report)
    return f"{said} {_noise(report)}".rstrip()


def _comparison(judge: str, report: Mapping[str, Any]) -> str:
    of_judge = report["judges"][judge]
    low, high = of_judge["win_rate_low"], of_judge["win_rate_high"]
    word = "BETTER" if low > 0.5 else "WORSE" if high < 0.5 else "NOT SHOWN to be better"
    at_most = "at most " if report.get("kl_nats_is_bound") else ""
    said = (
        f"{word}: {judge} prefers the policy to its base in {_percent(of_judge['win_rate'])} ({_interval(low, high)}) on {report['held_out_prompts']} "
        f"held-out prompts, {at_most}{nats(report['kl_nats'])} nats away."
    )
    equal = of_judge.get("win_rate_length_controlled_low", 1.0)
    if low > 0.5 and not equal > 0.5:
        at = _interval(equal, of_judge["win_rate_length_controlled_high"])
        said += f" At equal lengths that is not shown ({at}): part of it may be length."
    return said


def reward_result(report: Mapping[str, Any]) -> str:
    """How much of people's own held-out preferences a reward model knows, beside what needs no learning."""
    if report.get("reward_labeler_accuracy") is None:
        return f"The reward model puts {_percent(report['class_accuracy'])} of held-out texts where most people do."
    low, high = report["reward_labeler_accuracy_low"], report["reward_labeler_accuracy_high"]
    beside = [f"the longer text {_percent(report['reward_length_rule'])}"]
    if "reward_ngrams" in report:
        beside.append(f"n-grams {_percent(report['reward_ngrams'])}")
    said = f"The reward model orders {_percent(report['reward_labeler_accuracy'])} ({_interval(low, high)}) of people's own held-out preferences as they did; {', '.join(beside)}."
    return f"{said} {_noise(report)}".rstrip()


def _noise(report: Mapping[str, Any]) -> str:
    low, high = report.get("reward_labeler_accuracy_low"), report.get("reward_labeler_accuracy_high")
    if low is None or high is None or not low <= 0.5:
        return ""
    return f"The reward model is NO BETTER THAN CHANCE ({_interval(low, high)} of people's own preferences): what follows it follows noise."


def _interval(low: float, high: float) -> str:
    return f"{_percent(low)} to {_percent(high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
