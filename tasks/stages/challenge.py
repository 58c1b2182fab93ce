"""Stage `challenge`: the challenger against the champion, on held-out prompts and by held-out preferences."""

from collections.abc import Callable, Sequence
from pathlib import Path

from models.evaluation.metrics import Game, outcomes_by_prompt, pair_accuracy, strict_preferences, win_rate
from models.records import Artifact, Completion, Pair, Prompt, Ranking, read_records, write_records
from models.settings.pipeline import Compute, EvaluationConfig
from models.settings.retraining import PromotionConfig
from tasks.running.stage import Work, stage
from tasks.stages.evaluation import grades, write_meetings


@stage("challenge", kind="challenge")
def challenge_champion(
    work: Work,
    config: EvaluationConfig,
    promotion: PromotionConfig,
    held_out_labelers: tuple[str, ...],
    max_new_tokens: int,
    temperature: float,
    champion: Artifact,
    champion_reward: Artifact | None,
    challenger: Artifact,
    challenger_reward: Artifact,
    feedback: Artifact,
    pairs: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """games.jsonl (what each wrote to held-out prompts), meetings.jsonl (who was better) and the figures of a promotion.

    `judge: reward_model` is the mean score of both reward models: by its own alone each would win. Their accuracy is taken over the
    same preferences on held-out prompts: those of `held_out_labelers`, or of the consensus when there are none.
    """
    from models.generation.sampling import sample_completions
    from models.network.networks import freeze, load_policy
    from models.network.precision import autocast, pick_device

    held_out = [p for p in read_records(feedback.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    rewards = {"challenger": challenger_reward} | ({"champion": champion_reward} if champion_reward else {})
    scorers = {name: _scorer(artifact.folder / "model", compute) for name, artifact in rewards.items()}

    asked = [prompt.text for prompt in held_out[: config.num_prompts] for _ in range(config.num_samples)]
    texts, scores, graded = {}, {}, {}
    with autocast(compute):
        for name, artifact in (("champion", champion), ("challenger", challenger)):
            policy, tokenizer = load_policy(artifact.folder / "model")
            samples = sample_completions(
                freeze(policy).to(pick_device(compute)),
                tokenizer,
                asked,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                batch_size=128,
                seed=seed,
            )
            texts[name] = [sample.text for sample in samples]
            by_judge = zip(*(score(asked, texts[name]) for score in scorers.values()), strict=True)
            scores[name] = [sum(of_judges) / len(of_judges) for of_judges in by_judge]
            graded[name] = grades(config, asked, texts[name], scores[name])
            if promotion.safety_model is not None:
                safety = _scorer(Path(promotion.safety_model), compute)(asked, texts[name])
                work.metrics[f"safety_{name}"] = sum(safety) / len(safety)
        for name, accuracy in _accuracies(scorers, held_out, feedback, pairs, held_out_labelers).items():
            work.metrics[f"accuracy_{name}"] = accuracy
    columns = zip(asked, *texts.values(), *scores.values(), strict=True)
    write_records(
        work.folder / "games.jsonl", (Game(**dict(zip(Game.model_fields, row, strict=True))) for row in columns)
    )
    outcomes = outcomes_by_prompt(graded["challenger"], graded["champion"], config.num_samples)
    judges = " ".join(sorted(artifact.sha256[:12] for artifact in rewards.values()))
    judge = config.judge if config.judge == "household_rule" else f"{config.judge} {judges}"
    write_meetings(work.folder, asked[:: config.num_samples], outcomes, judge, challenger, champion)
    rate, low, high = win_rate(outcomes)
    work.metrics |= {
        "challenge_win_rate": rate,
        "challenge_win_rate_low": low,
        "challenge_win_rate_high": high,
        "score_champion": sum(scores["champion"]) / len(asked),
        "score_challenger": sum(scores["challenger"]) / len(asked),
    }
    return len(asked)


Score = Callable[[Sequence[str], Sequence[str]], list[float]]


def _scorer(folder: Path, compute: Compute) -> Score:
    from models.network.networks import RewardModel, freeze
    from models.network.precision import pick_device
    from models.rewards.pairwise import score_texts

    model, tokenizer = RewardModel.load(folder)
    freeze(model).to(pick_device(compute))
    return lambda prompts, completions: score_texts(model, tokenizer, prompts, completions).tolist()


def _accuracies(
    scorers: dict[str, Score],
    held_out: Sequence[Prompt],
    feedback: Artifact,
    pairs: Artifact,
    held_out_labelers: Sequence[str],
) -> dict[str, float]:
    """The share of the same strict preferences that each reward model orders rightly."""
    prompts = {prompt.id: prompt.text for prompt in held_out}
    completions = {
        one.id: one
        for one in read_records(feedback.folder / "completions.jsonl", Completion)
        if one.prompt_id in prompts
    }
    if held_out_labelers:
        texts = {name: one.text for name, one in completions.items()}
        preferences = [
            preference
            for ranking in read_records(feedback.folder / "rankings.jsonl", Ranking)
            if ranking.prompt_id in prompts and ranking.labeler in held_out_labelers
            for preference in strict_preferences(ranking, texts)
        ]
    else:
        agreed = read_records(pairs.folder / "pairs.jsonl", Pair)
        preferences = [(one.chosen, one.rejected) for one in agreed if one.prompt_id in prompts and one.label > 0.5]
    asked = [prompts[one.prompt_id] for one in completions.values()]
    written = [one.text for one in completions.values()]
    return {
        name: pair_accuracy(dict(zip(completions, score(asked, written), strict=True)), preferences)
        for name, score in scorers.items()
    }
