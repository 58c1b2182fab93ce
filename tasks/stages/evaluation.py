"""Stage `evaluation`: policy against base on held-out prompts."""

from collections.abc import Sequence
from pathlib import Path

from labeling.worlds import household
from models.evaluation.metrics import Meeting, outcomes_by_prompt, win_rate
from models.records import Artifact, Prompt, read_records, write_records
from models.settings.pipeline import Compute, EvaluationConfig
from tasks.running.stage import Work, stage


@stage("evaluation", kind="evaluation")
def evaluate_policy(
    work: Work,
    config: EvaluationConfig,
    max_new_tokens: int,
    temperature: float,
    base: Artifact,
    policy: Artifact,
    reward: Artifact,
    feedback: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """samples.jsonl (both models' completions of held-out prompts, with scores and KL), meetings.jsonl (who was better at each
    prompt) and the figures of the report."""
    from models.evaluation.matches import play_matches
    from models.network.networks import RewardModel, freeze, load_policy
    from models.network.precision import autocast, pick_device
    from models.rewards.pairwise import score_texts

    device = pick_device(compute)
    reward_model, reward_tokenizer = RewardModel.load(reward.folder / "model")
    base_model, tokenizer = load_policy(base.folder / "model")
    policy_model, _ = load_policy(policy.folder / "model")
    for model in (reward_model, base_model, policy_model):
        freeze(model).to(device)
    held_out = [p.text for p in read_records(feedback.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    with autocast(compute):
        matches = play_matches(
            base_model,
            policy_model,
            tokenizer,
            lambda prompts, completions: score_texts(reward_model, reward_tokenizer, prompts, completions),
            held_out[: config.num_prompts],
            num_samples=config.num_samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
    write_records(work.folder / "samples.jsonl", matches)

    if config.judge == "household_rule":
        for name in ("base", "policy"):
            helpful = [household.is_helpful(m.prompt, getattr(m, f"{name}_completion")) for m in matches]
            work.metrics[f"helpful_{name}"] = sum(helpful) / len(helpful)
    asked = [match.prompt for match in matches]
    graded = (
        grades(
            config,
            asked,
            [getattr(match, f"{name}_completion") for match in matches],
            [getattr(match, f"{name}_score") for match in matches],
        )
        for name in ("policy", "base")
    )
    outcomes = outcomes_by_prompt(*graded, config.num_samples)
    judge = config.judge if config.judge == "household_rule" else f"{config.judge} {reward.sha256[:12]}"
    write_meetings(work.folder, asked[:: config.num_samples], outcomes, judge, policy, base)
    rate, low, high = win_rate(outcomes)
    num = len(matches)
    work.metrics |= {
        "judge": config.judge,
        "win_rate": rate,
        "win_rate_low": low,
        "win_rate_high": high,
        "score_base": sum(match.base_score for match in matches) / num,
        "score_policy": sum(match.policy_score for match in matches) / num,
        "kl_nats": sum(match.kl_nats for match in matches) / num,
        "end_rate": sum(match.policy_ended for match in matches) / num,
        "end_rate_base": sum(match.base_ended for match in matches) / num,
        "distinct_completions": len({match.policy_completion for match in matches}),
        "distinct_completions_base": len({match.base_completion for match in matches}),
        "held_out_prompts": len(outcomes),
    }
    return num


def grades(
    config: EvaluationConfig, prompts: Sequence[str], completions: Sequence[str], scores: Sequence[float]
) -> Sequence[float]:
    """How good the judge that the config names finds each completion; `scores` are those of the reward model.

    By the household rule an unusable completion is below every grade.
    """
    if config.judge == "reward_model":
        return scores
    ruled = [household.helpfulness(prompt, text) for prompt, text in zip(prompts, completions, strict=True)]
    return [float("-inf") if grade is None else grade for grade in ruled]


def write_meetings(
    folder: Path, prompts: Sequence[str], outcomes: Sequence[float], judge: str, policy: Artifact, base: Artifact
) -> None:
    """Writes meetings.jsonl: who was better at each prompt."""
    write_records(
        folder / "meetings.jsonl",
        (
            Meeting(
                prompt=prompt,
                judge=judge,
                policy=policy.sha256,
                base=base.sha256,
                result=(outcome > 0.5) + 0.5 * (outcome == 0.5),
            )
            for prompt, outcome in zip(prompts, outcomes, strict=True)
        ),
    )
