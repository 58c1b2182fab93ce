"""Stage `reward`: the reward model, trained on training prompts and judged on held-out ones."""

from typing import TYPE_CHECKING

from models.plain_text import plain
from models.records import Artifact, Completion, Pair, Prompt, Ranking, read_records
from models.settings.compute import Compute
from models.settings.rewards import Reward
from tasks.running.stage import Work, stage
from tasks.running.torch_ranks import run_training

if TYPE_CHECKING:
    from models.evaluation.reward_report import RewardReport  # loads torch


@stage("reward", kind="reward-model", unit="steps", registered=True)
def train_reward_model(
    work: Work,
    config: Reward,
    base: Artifact,
    feedback: Artifact,
    pairs: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """A folder `model/` with what scores completions, and reward_report.json; gives back optimizer steps."""
    from models.evaluation.reward_report import report_reward
    from models.rewards.scorer import load_scorer
    from models.stages import reward

    steps = run_training(work, reward.train, config, compute, base=base, feedback=feedback, pairs=pairs, seed=seed)
    report = report_reward(
        load_scorer(work.folder / "model", compute),
        read_records(feedback.folder / "prompts.jsonl", Prompt),
        read_records(feedback.folder / "completions.jsonl", Completion),
        read_records(pairs.folder / "pairs.jsonl", Pair),
        read_records(feedback.folder / "rankings.jsonl", Ranking),
    )
    (work.folder / "reward_report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    if steps:
        work.metrics["reward_loss"] = steps[-1].values["loss"]
    work.metrics["reward_labeler_accuracy"] = report.labeler_accuracy
    work.metrics["reward_labeler_ceiling"] = report.labeler_ceiling
    work.metrics["reward_accuracy"] = report.accuracy
    work.metrics["reward_calibration_error"] = report.calibration_error
    work.metrics["reward_held_out_pairs"] = report.num_pairs
    work.note(_summary(report))
    return len(steps)


def _summary(report: "RewardReport") -> str:
    bands = "\n".join(
        f"| {band.lowest:.1f} to {band.highest:.1f} | {band.num_pairs} | {band.mean_probability:.3f} | {band.accuracy:.3f} |"
        for band in report.bands
    )
    labelers = "\n".join(f"| {plain(name)} | {accuracy:.3f} |" for name, accuracy in report.accuracy_by_labeler.items())
    return (
        f"On held-out prompts the reward model agrees with {report.labeler_accuracy:.3f} of people's own {report.num_preferences} strict "
        f"preferences; most of the others agree with {report.labeler_ceiling:.3f} of the {report.num_foretold} that others judged too. "
        f"With the consensus, which may tie close calls, it agrees on {report.accuracy:.3f} of {report.num_pairs} strict pairs.\n\n"
        "Held-out pairs by how sure the reward model was:\n\n"
        f"| probability | pairs | mean probability | accuracy |\n|---|---|---|---|\n{bands}\n\n"
        f"Against each labeler's own strict preferences:\n\n| labeler | accuracy |\n|---|---|\n{labelers}"
    )
