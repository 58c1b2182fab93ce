"""Stage `evaluation`: policy against base on held-out prompts."""

from models.evaluation.comparison import compare, describe_matches, win_rates_by_update
from models.evaluation.judge import Judge, require_known
from models.records import Artifact, Prompt, read_records, write_records
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import EvaluationConfig
from models.tuning.progress_sample import PROGRESS, ProgressSample
from tasks.running.stage import Work, stage


@stage("evaluation", kind="evaluation", unit="completions", reads={"feedback": ("prompts.jsonl",)})
def evaluate_policy(
    work: Work,
    config: EvaluationConfig,
    sampling: SamplingConfig,
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
    from models.network.networks import freeze, load_policy
    from models.network.precision import autocast, pick_device
    from models.rewards.scorer import load_scorer

    judge = config.judge.load_module().open_judge(config.judge, [reward.folder / "model"], compute)
    score = load_scorer(reward.folder / "model", compute).score
    (base_model, tokenizer), (policy_model, _) = (load_policy(one.folder / "model") for one in (base, policy))
    for model in (base_model, policy_model):
        freeze(model).to(pick_device(compute))
    held_out = [p.text for p in read_records(feedback.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    with autocast(compute):
        matches = play_matches(
            base_model,
            policy_model,
            tokenizer,
            score,
            held_out[: config.num_prompts],
            num_samples=config.num_samples,
            sampling=sampling,
            seed=seed,
        )
    write_records(work.folder / "samples.jsonl", matches)
    asked = [match.prompt for match in matches]
    written = ([getattr(match, f"{name}_completion") for match in matches] for name in ("policy", "base"))
    comparison = compare(judge, asked, *written, config.num_samples)
    told = judge_name(config, judge, [reward])
    write_records(work.folder / "meetings.jsonl", comparison.meetings(told, policy.sha256, base.sha256))
    work.metrics |= {"judge": config.judge.kind, **comparison.figures, **describe_matches(matches, judge)}
    work.metrics["held_out_prompts"] = len(comparison.outcomes)
    work.metrics["better_at_update"] = _better_at_update(judge, policy)
    return len(matches)


def require_judge(config: EvaluationConfig, prompts: Artifact) -> None:
    """Raises DataError when the judge could not judge completions of the held-out ones among these prompts."""
    held_out = [p.text for p in read_records(prompts.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    require_known(config.judge, held_out)


def judge_name(config: EvaluationConfig, judge: Judge, rewards: list[Artifact]) -> str:
    """What the judge is called in meetings: one that is the rewards themselves is another judge with other rewards."""
    named = sorted(artifact.sha256[:12] for artifact in rewards) if judge.was_tuned_on else []
    return " ".join([config.judge.kind, *named])


def _better_at_update(judge: Judge, policy: Artifact) -> int | None:
    """The first update before which the policy surely beat what it began as, on validation prompts; None where none did."""
    path = policy.folder / PROGRESS
    samples = read_records(path, ProgressSample) if path.exists() else []
    rates = win_rates_by_update(judge, samples)
    return next((update for update, (_, low, _) in rates.items() if low > 0.5), None)
