"""Stage `challenge`: the challenger against the champion, on held-out prompts and by held-out preferences."""

from pathlib import Path
from typing import TYPE_CHECKING

from models.evaluation.comparison import compare
from models.evaluation.metrics import Game
from models.evaluation.paired import Paired
from models.records import Artifact, Completion, Pair, Prompt, Ranking, read_records, write_records
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import EvaluationConfig
from models.settings.retraining import PromotionConfig
from tasks.judging.evaluation import material_of, meetings, open_judges
from tasks.running.stage import Work, stage

if TYPE_CHECKING:
    from models.rewards.scorer import Score


@stage(
    "challenge",
    kind="challenge",
    unit="completions",
    reads={"feedback": ("prompts.jsonl", "completions.jsonl", "rankings.jsonl"), "pairs": ("pairs.jsonl",)},
)
def challenge_champion(
    work: Work,
    config: EvaluationConfig,
    promotion: PromotionConfig,
    held_out_labelers: tuple[str, ...],
    sampling: SamplingConfig,
    champion: Artifact,
    champion_reward: Artifact | None,
    challenger: Artifact,
    challenger_reward: Artifact,
    held_out_reward: Artifact | None,
    feedback: Artifact,
    pairs: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """games.jsonl (what each wrote to held-out prompts), meetings.jsonl (who was better) and the figures of a promotion.

    A judge that is the reward itself takes the mean score of both: by its own alone each would win. Their accuracy is taken over the
    same preferences on held-out prompts: those of `held_out_labelers`, or of the consensus when there are none.
    """
    from models.evaluation.matches import complete
    from models.network.networks import freeze, load_policy
    from models.network.precision import autocast, pick_device
    from models.rewards.scorer import load_scorer

    rewards = {"challenger": challenger_reward} | ({"champion": champion_reward} if champion_reward else {})
    judges = open_judges(config, material_of(list(rewards.values()), held_out_reward), compute)
    scores = {name: load_scorer(one.folder / "model", compute).score for name, one in rewards.items()}
    safety = promotion.safety_model and load_scorer(Path(promotion.safety_model), compute).score

    held_out = [p for p in read_records(feedback.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    asked = [prompt.text for prompt in held_out[: config.num_prompts] for _ in range(config.num_samples)]
    texts, scored, safe = {}, {}, {}
    for name, artifact in (("champion", champion), ("challenger", challenger)):
        policy, tokenizer = load_policy(artifact.folder / "model")
        with autocast(compute):
            samples = complete(freeze(policy).to(pick_device(compute)), tokenizer, asked, sampling, seed)
        texts[name] = [sample.text for sample in samples]
        by_reward = zip(*(score(asked, texts[name]).tolist() for score in scores.values()), strict=True)
        scored[name] = [sum(of_rewards) / len(of_rewards) for of_rewards in by_reward]
        work.metrics[f"score_{name}"] = sum(scored[name]) / len(asked)
        if safety:
            safe[name] = safety(asked, texts[name]).view(-1, config.num_samples).mean(dim=1).tolist()
    if safety:
        work.metrics |= _figures("safety", Paired.of(**safe, weights=[1] * len(safe["champion"])))
    work.metrics |= _accuracies(scores, held_out, feedback, pairs, held_out_labelers)
    columns = zip(asked, *texts.values(), *scored.values(), strict=True)
    write_records(
        work.folder / "games.jsonl", (Game(**dict(zip(Game.model_fields, row, strict=True))) for row in columns)
    )
    compared = {
        kind: compare(judge, asked, texts["challenger"], texts["champion"], config.num_samples)
        for kind, judge in judges.items()
    }
    write_records(
        work.folder / "meetings.jsonl",
        meetings(compared, config, challenger, champion, list(rewards.values()), held_out_reward),
    )
    decides = config.headline or config.judges[0]
    figures = compared[decides.kind].figures | {
        "judge": decides.kind,
        "judge_is_independent": decides.is_independent,
        "p_value": compared[decides.kind].p_value,
    }
    work.metrics |= {f"challenge_{name}": value for name, value in figures.items()}
    return len(asked)


def _accuracies(
    scores: "dict[str, Score]",
    held_out: list[Prompt],
    feedback: Artifact,
    pairs: Artifact,
    held_out_labelers: tuple[str, ...],
) -> dict[str, float]:
    """The share of the same strict preferences that each reward orders rightly; of the challenger alone, where the champion is the base."""
    from models.evaluation.reward_report import held_out_preferences, pair_accuracy, paired_accuracy, scores_of

    prompts = {prompt.id: prompt.text for prompt in held_out}
    written = read_records(feedback.folder / "completions.jsonl", Completion)
    completions = [one for one in written if one.prompt_id in prompts]
    preferences = held_out_preferences(
        prompts,
        completions,
        read_records(pairs.folder / "pairs.jsonl", Pair),
        read_records(feedback.folder / "rankings.jsonl", Ranking),
        held_out_labelers,
    )
    given = {name: scores_of(score, prompts, completions) for name, score in scores.items()}
    if "champion" not in given:
        return {"accuracy_challenger": pair_accuracy(given["challenger"], preferences)}
    prompt_of = {one.id: one.prompt_id for one in completions}
    return _figures("accuracy", paired_accuracy(given["champion"], given["challenger"], preferences, prompt_of))


def _figures(name: str, paired: Paired) -> dict[str, float]:
    return {f"{name}_{key}": value for key, value in paired.model_dump().items()}
