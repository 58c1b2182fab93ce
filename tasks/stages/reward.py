"""Stage `reward`: the reward model, trained on training prompts and judged on held-out ones."""

from models.errors import DataError
from models.evaluation.metrics import RewardReport, evaluate_reward
from models.plain_text import plain
from models.records import Artifact, Completion, Pair, Prompt, Ranking, read_records
from models.settings.pipeline import Compute, RewardConfig
from tasks.running.stage import Work, stage
from tasks.running.torch_ranks import run_training


@stage("reward", kind="reward-model")
def train_reward_model(
    work: Work,
    config: RewardConfig,
    base: Artifact,
    feedback: Artifact,
    pairs: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """A folder `model/` (an ordinary sequence-classification checkpoint) and reward_report.json; gives back optimizer steps."""
    from models.network.networks import RewardModel
    from models.network.precision import pick_device
    from models.rewards.pairwise import score_texts
    from models.stages import reward

    steps = run_training(work, reward.train, config, compute, base=base, feedback=feedback, pairs=pairs, seed=seed)

    reward_model, tokenizer = RewardModel.load(work.folder / "model")
    reward_model.to(pick_device(compute))
    prompts = read_records(feedback.folder / "prompts.jsonl", Prompt)
    completions = read_records(feedback.folder / "completions.jsonl", Completion)
    all_pairs = read_records(pairs.folder / "pairs.jsonl", Pair)
    held_out = {prompt.id: prompt for prompt in prompts if prompt.split == "test"}
    judged = [completion for completion in completions if completion.prompt_id in held_out]
    if not judged:
        raise DataError("no held-out prompt has completions to judge the reward model by")
    asked = [held_out[completion.prompt_id].text for completion in judged]
    scores = score_texts(reward_model, tokenizer, asked, [completion.text for completion in judged])
    std = reward_model.model.config.score_std  # probabilities are those of the logits that were trained
    report = evaluate_reward(
        logits={completion.id: std * score for completion, score in zip(judged, scores.tolist(), strict=True)},
        pairs=[pair for pair in all_pairs if pair.prompt_id in held_out],
        rankings=[
            ranking
            for ranking in read_records(feedback.folder / "rankings.jsonl", Ranking)
            if ranking.prompt_id in held_out
        ],
        texts={completion.id: completion.text for completion in judged},
    )
    (work.folder / "reward_report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    work.metrics["reward_loss"] = steps[-1].values["loss"]
    work.metrics["reward_accuracy"] = report.accuracy
    work.metrics["reward_labeler_accuracy"] = report.labeler_accuracy
    work.metrics["reward_calibration_error"] = report.calibration_error
    work.metrics["reward_held_out_pairs"] = report.num_pairs
    work.note(_summary(report))
    return len(steps)


def _summary(report: RewardReport) -> str:
    bands = "\n".join(
        f"| {band.lowest:.1f} to {band.highest:.1f} | {band.num_pairs} | {band.mean_probability:.3f} | {band.accuracy:.3f} |"
        for band in report.bands
    )
    labelers = "\n".join(f"| {plain(name)} | {accuracy:.3f} |" for name, accuracy in report.accuracy_by_labeler.items())
    return (
        "Held-out pairs by how sure the reward model was:\n\n"
        f"| probability | pairs | mean probability | accuracy |\n|---|---|---|---|\n{bands}\n\n"
        f"Against each labeler's own strict preferences:\n\n| labeler | accuracy |\n|---|---|\n{labelers}"
    )
