"""Stage `reward-report`: how good the reward model is on held-out prompts."""

from typing import TYPE_CHECKING

from models.errors import TrainingError
from models.plain_text import plain
from models.records import Artifact, Completion, Pair, Prompt, Ranking, read_records
from models.settings.compute import Compute
from models.settings.tuning import Tuning
from tasks.running.stage import Work, stage
from tasks.running.storage import read_manifest

if TYPE_CHECKING:
    from models.evaluation.reward_report import RewardReport  # loads torch


@stage(
    "reward-report",
    kind="reward-report",
    unit="held-out pairs",
    reads={"feedback": ("prompts.jsonl", "completions.jsonl", "rankings.jsonl"), "pairs": ("pairs.jsonl",)},
)
def report_on_reward(work: Work, reward: Artifact, feedback: Artifact, pairs: Artifact, compute: Compute) -> int:
    """reward_report.json, by the consensus and by each labeler, held-out ones too; gives back the number of strict pairs."""
    from models.evaluation.reward_report import report_reward
    from models.rewards.scorer import load_scorer

    report = report_reward(
        load_scorer(reward.folder / "model", compute),
        read_records(feedback.folder / "prompts.jsonl", Prompt),
        read_records(feedback.folder / "completions.jsonl", Completion),
        read_records(pairs.folder / "pairs.jsonl", Pair),
        read_records(feedback.folder / "rankings.jsonl", Ranking),
    )
    (work.folder / "reward_report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    work.metrics["reward_labeler_accuracy"] = report.labeler_accuracy
    work.metrics["reward_labeler_accuracy_low"] = report.labeler_accuracy_low
    work.metrics["reward_labeler_accuracy_high"] = report.labeler_accuracy_high
    work.metrics["reward_labeler_ceiling"] = report.labeler_ceiling
    work.metrics["reward_length_rule"] = report.length_rule
    work.metrics["reward_ngrams"] = report.ngrams
    work.metrics["reward_accuracy"] = report.accuracy
    work.metrics["reward_calibration_error"] = report.calibration_error
    work.metrics["reward_held_out_pairs"] = report.num_pairs
    if report.disagreement is not None:
        work.metrics["reward_disagreement"] = report.disagreement
    work.note(_summary(report))
    return report.num_pairs


def require_accuracy(config: Tuning, report: Artifact) -> None:
    """Raises TrainingError when the reward model's held-out accuracy is below `min_reward_accuracy`, or is not known."""
    accuracy = read_manifest(report).metrics["reward_accuracy"]
    if not accuracy >= config.min_reward_accuracy:
        raise TrainingError(
            f"the reward model's held-out accuracy is {accuracy:.3f}, below tuning.min_reward_accuracy "
            f"{config.min_reward_accuracy}: a policy tuned on it would learn noise"
        )


def _summary(report: "RewardReport") -> str:
    bands = "\n".join(
        f"| {band.lowest:.1f} to {band.highest:.1f} | {band.num_pairs} | {band.mean_probability:.3f} | {band.accuracy:.3f} |"
        for band in report.bands
    )
    labelers = "\n".join(f"| {plain(name)} | {accuracy:.3f} |" for name, accuracy in report.accuracy_by_labeler.items())
    return (
        f"On held-out prompts the reward model agrees with {report.labeler_accuracy:.3f} ({report.labeler_accuracy_low:.3f} to "
        f"{report.labeler_accuracy_high:.3f}) of people's own {report.num_preferences} strict preferences; most of the "
        f"others agree with {report.labeler_ceiling:.3f} of the {report.num_foretold} that others judged too. "
        f"The longer one is preferred in {report.length_rule:.3f}; hashed n-grams agree with {report.ngrams:.3f}. "
        f"With the consensus, which may tie close calls, it agrees on {report.accuracy:.3f} of {report.num_pairs} strict pairs.\n\n"
        "Held-out pairs by how sure the reward model was:\n\n"
        f"| probability | pairs | mean probability | accuracy |\n|---|---|---|---|\n{bands}\n\n"
        f"Against each labeler's own strict preferences:\n\n| labeler | accuracy |\n|---|---|\n{labelers}"
    )
