"""Stages `games` and `challenge`: the challenger against the champion, on held-out prompts and by held-out preferences."""

from pathlib import Path
from typing import TYPE_CHECKING

from models.evaluation.comparison import compare
from models.evaluation.metrics import Game
from models.evaluation.paired import Paired
from models.records import Artifact, Completion, Pair, Prompt, Ranking, read_records, write_records
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import EvaluationConfig, Votes
from models.settings.retraining import PromotionConfig
from tasks.judging.evaluation import material_of, meetings, open_judges
from tasks.running.stage import Work, stage

if TYPE_CHECKING:
    from models.rewards.scorer import Score

GAMES = "games.jsonl"


@stage(
    "games",
    kind="games",
    unit="completions",
    reads={"feedback": ("prompts.jsonl", "completions.jsonl", "rankings.jsonl"), "pairs": ("pairs.jsonl",)},
)
def play_games(
    work: Work,
    num_prompts: int,
    num_samples: int,
    promotion: PromotionConfig,
    held_out_labelers: tuple[str, ...],
    sampling: SamplingConfig,
    champion: Artifact,
    champion_reward: Artifact | None,
    challenger: Artifact,
    challenger_reward: Artifact,
    feedback: Artifact,
    pairs: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """games.jsonl (what each wrote to held-out prompts, whoever judges it), and the figures of a promotion that need no judge.

    A score is the mean of both rewards: by its own alone each would win. Their accuracy is taken over the same preferences on held-out
    prompts: those of `held_out_labelers`, or of the consensus when there are none.
    """
    from models.evaluation.writer import load_writer
    from models.network.precision import autocast
    from models.rewards.scorer import load_scorer

    rewards = {"challenger": challenger_reward} | ({"champion": champion_reward} if champion_reward else {})
    scores = {name: load_scorer(artifact.folder / "model", compute).score_samples for name, artifact in rewards.items()}
    safety = promotion.safety_model and load_scorer(Path(promotion.safety_model), compute).score_samples

    held_out = [p for p in read_records(feedback.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    asked = [prompt.text for prompt in held_out[:num_prompts] for _ in range(num_samples)]
    texts, ended, scored, safe = {}, {}, {}, {}
    for name, artifact in (("champion", champion), ("challenger", challenger)):
        writer = load_writer(artifact.folder / "model", compute)
        with autocast(compute):
            samples = writer.complete(asked, sampling, seed)
        texts[name], ended[name] = [sample.text for sample in samples], [sample.ended for sample in samples]
        by_reward = zip(*(score(asked, texts[name]).tolist() for score in scores.values()), strict=True)
        scored[name] = [sum(of_rewards) / len(of_rewards) for of_rewards in by_reward]
        work.metrics[f"score_{name}"] = sum(scored[name]) / len(asked)
        if safety:
            safe[name] = safety(asked, texts[name]).view(-1, num_samples).mean(dim=1).tolist()
    if safety:
        work.metrics |= _figures("safety", Paired.of(**safe, weights=[1] * len(safe["champion"])))
    work.metrics |= _accuracies(scores, held_out, feedback, pairs, held_out_labelers)
    columns = zip(asked, *texts.values(), *scored.values(), *ended.values(), strict=True)
    games = [Game(**dict(zip(Game.model_fields, row, strict=True))) for row in columns]
    return write_records(work.folder / GAMES, games)


@stage("challenge", kind="challenge", unit="completions", reads={"games": (GAMES,)})
def challenge_champion(
    work: Work,
    config: EvaluationConfig,
    games: Artifact,
    champion: Artifact,
    champion_reward: Artifact | None,
    challenger: Artifact,
    challenger_reward: Artifact,
    held_out_reward: Artifact | None,
    votes: Votes | None,
    compute: Compute,
) -> int:
    """meetings.jsonl (who was better at each held-out prompt, by each judge) and what the judge says whose word decides.

    One that is the reward itself takes the mean score of both.
    """
    rewards = [challenger_reward, *([champion_reward] if champion_reward else [])]
    judges = open_judges(config, material_of(rewards, held_out_reward, votes, work), compute)
    played = read_records(games.folder / GAMES, Game)
    asked, challengers, champions = (
        [getattr(game, name) for game in played] for name in ("prompt", "challenger_completion", "champion_completion")
    )
    compared = {
        kind: compare(judge, asked, challengers, champions, config.num_samples) for kind, judge in judges.items()
    }
    write_records(
        work.folder / "meetings.jsonl", meetings(compared, config, challenger, champion, rewards, held_out_reward)
    )
    decides = config.headline or config.judges[0]
    decided = compared[decides.kind]
    figures = decided.figures | decided.told | {"judge": decides.kind, "judge_is_independent": decides.is_independent}
    if decided.outcomes:
        figures["p_value"] = decided.p_value
    if votes:
        figures["head_to_head"] = votes.batch
    work.metrics |= {f"challenge_{name}": value for name, value in figures.items()}
    return len(played)


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
        read_records(feedback.folder / "rankings.jsonl", Ranking, may_be_missing=True),
        held_out_labelers,
    )
    given = {name: scores_of(score, prompts, completions) for name, score in scores.items()}
    if "champion" not in given:
        return {"accuracy_challenger": pair_accuracy(given["challenger"], preferences)}
    prompt_of = {one.id: one.prompt_id for one in completions}
    return _figures("accuracy", paired_accuracy(given["champion"], given["challenger"], preferences, prompt_of))


def _figures(name: str, paired: Paired) -> dict[str, float]:
    return {f"{name}_{key}": value for key, value in paired.model_dump().items()}
