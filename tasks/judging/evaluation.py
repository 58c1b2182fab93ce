"""Stages `matches` and `evaluation`: policy against base on held-out prompts, and what the judges say of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.evaluation.checks import Checks, check_steps
from models.evaluation.comparison import Comparison, compare, describe_matches
from models.evaluation.judges.judge import Judge, Material, PairJudge, require_known
from models.evaluation.metrics import Match, Meeting
from models.evaluation.progress_sample import PROGRESS, ProgressSample
from models.records import Artifact, Prompt, read_records, write_records
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import EvaluationConfig, JudgeKind, Votes
from tasks.running.stage import Work, stage
from tasks.running.storage import read_manifest

if TYPE_CHECKING:
    from models.rewards.scorer import Scorer  # loads torch

SAMPLES = "samples.jsonl"


@stage("matches", kind="matches", unit="completions", reads={"feedback": ("prompts.jsonl",)})
def play_held_out(
    work: Work,
    num_prompts: int,
    num_samples: int,
    sampling: SamplingConfig,
    base: Artifact,
    policy: Artifact,
    reward: Artifact,
    feedback: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """samples.jsonl: both models' completions of held-out prompts, with scores and KL. They are drawn once, whoever judges them.

    Of a reward of parts the mean score by each stands in the stage's numbers, as `brief/score_policy` and `brief/score_base`.
    """
    from models.evaluation.matches import play_matches
    from models.evaluation.writer import load_writer
    from models.network.precision import autocast
    from models.rewards.scorer import load_scorer

    scorer = load_scorer(reward.folder / "model", compute)
    writers = [load_writer(one.folder / "model", compute) for one in (base, policy)]
    held_out = [p.text for p in read_records(feedback.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    asked = held_out[:num_prompts]
    given = (*writers, scorer.score_samples, asked)
    with autocast(compute):
        matches = play_matches(*given, num_samples=num_samples, sampling=sampling, seed=seed)
        work.metrics |= _scores_by_part(scorer, matches)
    work.metrics["held_out_prompts"] = len(asked)
    if writers[1].chooser is not None:
        work.metrics["kl_nats_is_bound"] = True
    return write_records(work.folder / SAMPLES, matches)


def _scores_by_part(scorer: "Scorer", matches: Sequence[Match]) -> dict[str, float]:
    if scorer.parts is None:
        return {}
    asked, told = [match.prompt for match in matches], {}
    for model in ("base", "policy"):
        texts = scorer.readable(asked, [getattr(match, f"{model}_completion") for match in matches])
        told |= {f"{name}/score_{model}": own.mean().item() for name, own in scorer.parts.score(asked, texts).items()}
    return told


@stage("evaluation", kind="evaluation", unit="completions", curves="checks/", reads={"matches": (SAMPLES,)})
def evaluate_policy(
    work: Work,
    config: EvaluationConfig,
    matches: Artifact,
    base: Artifact,
    policy: Artifact,
    reward: Artifact,
    held_out_reward: Artifact | None,
    votes: Votes | None,
    compute: Compute,
) -> int:
    """meetings.jsonl (who was better at each held-out prompt, by each judge), the curves of the checks on the way, and the figures of
    the report."""
    judges = open_judges(config, material_of([reward], held_out_reward, votes, work), compute)
    played = read_records(matches.folder / SAMPLES, Match)
    asked = [match.prompt for match in played]
    policys, bases = ([getattr(match, f"{name}_completion") for match in played] for name in ("policy", "base"))
    compared = {kind: compare(judge, asked, policys, bases, config.num_samples) for kind, judge in judges.items()}
    write_records(work.folder / "meetings.jsonl", meetings(compared, config, policy, base, [reward], held_out_reward))
    work.metrics |= describe_judges(config, compared, _chooser_of(policy)) | describe_matches(
        played, list(judges.values())
    )
    if votes:
        work.metrics["head_to_head"] = votes.batch
    if config.headline:
        work.metrics |= compared[config.headline.kind].figures
    work.metrics |= _look_back(work, policy, judges, reward, config.headline, compute)
    return len(played)


def _chooser_of(policy: Artifact) -> str | None:
    """The kind of the judge that chose the policy when it was tuned, whatever the settings say now; None: nobody did."""
    return read_manifest(policy).metrics.get("tuning_kept_by")


def _look_back(
    work: Work,
    policy: Artifact,
    judges: Mapping[str, Judge | PairJudge],
    reward: Artifact,
    headline: JudgeKind | None,
    compute: Compute,
) -> dict[str, Any]:
    """What the checks on the way say: their curves go to the stage's steps, the headline's figures come back, if it grades."""
    from models.rewards.scorer import load_scorer

    path = policy.folder / PROGRESS
    checks = Checks.of(read_records(path, ProgressSample) if path.exists() else [])
    if not checks.completions:
        return {"better_at_update": None}
    score = load_scorer(reward.folder / "model", compute).score_samples
    scores = {update: score(checks.prompts, texts).mean().item() for update, texts in checks.completions.items()}
    judged = {kind: checks.judged_by(judge) for kind, judge in judges.items() if not isinstance(judge, PairJudge)}
    work.follow(iter(check_steps(judged, scores, max(scores))))
    if headline is None or headline.kind not in judged:
        return {"better_at_update": None}
    better = (update for update, (_, low, _) in judged[headline.kind].win_rates.items() if low > 0.5)
    parting = judged[headline.kind].parting(scores)
    return {
        "better_at_update": next(better, None),
        "peak_update": parting.peak_update,
        "over_optimised": parting.parted,
    }


def material_of(
    rewards: Sequence[Artifact], held_out_reward: Artifact | None, votes: Votes | None, work: Work
) -> Material:
    """What judges are made of. `rewards`: those that the compared policies were tuned on."""
    return Material(
        [one.folder / "model" for one in rewards],
        held_out_reward and held_out_reward.folder / "model",
        votes and Path(votes.path),
        work.checkpoint_folder / "judge_answers.jsonl",
    )


def open_judges(config: EvaluationConfig, material: Material, compute: Compute) -> dict[str, Judge | PairJudge]:
    """Kind -> judge."""
    return {one.kind: one.load_module().open_judge(one, material, compute) for one in config.judges}


def describe_judges(
    config: EvaluationConfig, compared: Mapping[str, Comparison], chooser: str | None = None
) -> dict[str, Any]:
    """What each judge says, beside what it has learned from and whether it chose the policy, those that are not independent last; and
    which one is the `judge` whose word is the result, None where none is independent. Each win rate also by itself, as
    `household_rule/win_rate`. One that has said nothing yet has none."""
    ordered = sorted(config.judges, key=lambda one: not one.is_independent)
    said = {one.kind: compared[one.kind].figures | compared[one.kind].told for one in ordered}
    told = {
        one.kind: said[one.kind]
        | {"independent": one.is_independent, "learned_from": one.learned_from, "chose": one.kind == chooser}
        for one in ordered
    }
    numbers = {f"{kind}/{name}": value for kind, own in said.items() for name, value in own.items()}
    return {"judge": config.headline.kind if config.headline else None, "judges": told, **numbers}


def meetings(
    compared: Mapping[str, Comparison],
    config: EvaluationConfig,
    first: Artifact,
    second: Artifact,
    rewards: list[Artifact],
    held_out_reward: Artifact | None,
) -> list[Meeting]:
    """Who was better at each prompt, by each judge."""
    return [
        meeting
        for one in config.judges
        for meeting in compared[one.kind].meetings(
            judge_name(one, rewards, held_out_reward), first.sha256, second.sha256
        )
    ]


def judge_name(judge: JudgeKind, rewards: list[Artifact], held_out_reward: Artifact | None) -> str:
    """What a judge goes by among meetings. One that is a reward, or rewards, is another judge with other ones."""
    made_of = {"own_reward": rewards, "held_out_reward": [held_out_reward] if held_out_reward else []}
    return " ".join([judge.called, *sorted(artifact.sha256[:12] for artifact in made_of.get(judge.kind, []))])


def require_judges(config: EvaluationConfig, prompts: Artifact) -> None:
    """Raises DataError when a judge could not judge completions of the held-out (validation and test) ones among these prompts."""
    held_out = [p.text for p in read_records(prompts.folder / "prompts.jsonl", Prompt) if p.split != "train"]
    for judge in config.judges:
        require_known(judge, held_out)
