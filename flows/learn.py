"""Flow `learn`: rankings -> consensus -> pairs -> reward model -> policy -> report. Starts where people end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prefect import flow

from flows.base import TuningData, adapt_base, open_base, read_reference_texts, read_tuning_data
from flows.feedback import Reading, find_source, reading
from models.footprint import NetworkSize
from models.judge_model.reach import reaching
from models.records import Artifact
from models.settings.judges import HeldOutReward
from models.settings.labels import LabelKind
from models.settings.pipeline import PipelineConfig
from models.settings.rewards import RewardKind
from models.settings.tuning import TuningKind
from tasks.judging.evaluation import evaluate_policy, play_held_out, require_judges
from tasks.judging.held_out_reward import hold_pairs_back, train_held_out_reward
from tasks.judging.people import ask_people, require_people
from tasks.judging.references import judge_by_references, sample_versions
from tasks.judging.reward_report import report_on_reward, require_accuracy
from tasks.reporting.report import register_models, write_report
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.running.space import require_space
from tasks.stages.consensus import agree_on_rankings
from tasks.stages.hold_out import hold_out_labelers
from tasks.stages.labels import require_one_side, require_rankings
from tasks.stages.pairs import convert_own_rankings, convert_to_pairs, draw_labelers
from tasks.stages.reward import require_own_pairs, require_reward, require_votes, train_reward_model
from tasks.stages.tuning import require_prompts, tune_policy
from tasks.tracking.registry import RegisteredPolicy


@dataclass(frozen=True)
class Preferences:
    """What people prefer: `feedback`, all of it, tells how good what was learned is; `told`, the part that is learned from; its `pairs`,
    those of `draws` of its labelers and each labeler's `own_pairs`, None where nothing asks for these; and `parts`, by name, what those of the
    reward learn from."""

    feedback: Artifact
    told: Artifact
    pairs: Artifact
    draws: Artifact | None
    own_pairs: Artifact | None = None
    parts: Mapping[str, "Preferences"] = field(default_factory=dict)


@dataclass(frozen=True)
class Learned:
    """The registered policy, its matches with its base on held-out prompts, and the reward model that judged them, if one did."""

    policy: RegisteredPolicy
    matches: Artifact
    held_out_reward: Artifact | None


@flow(name="learn")
def learn(config: PipelineConfig) -> dict[str, Any]:
    """Learns a policy from rankings that exist already, and reports on it."""
    with open_run(config, "learn") as run:
        learned = learn_from_source(run, find_source(run, config.labels))
        return write_report(run, learned.matches, learned.policy)


def learn_from_source(run: PipelineRun, source: LabelKind) -> Learned:
    """Everything from feedback that exists already to the registered policy and its matches, shared with flow `retrain`."""
    run.before_making = reaching(run.config.reward, run.config.evaluation)
    start, texts, feedback = read_feedback(run, source)
    require_space(run.config, NetworkSize.of_folder(start.folder / "model"))
    require_prompts(feedback)
    require_judges(run.config.evaluation, feedback)
    require_people(run.config)
    # what cannot be learned from is said before anything is trained
    preferences = agree_on_preferences(run, feedback, reading(start))
    held_back = hold_back(run, feedback)
    data = read_tuning_data(run, start, preferences.told, sides=feedback)
    references = read_reference_texts(run, start, feedback)
    pretrained, base = adapt_base(run, start, texts, preferences.told, sides=feedback)
    learned = learn_from_preferences(run, base, preferences, held_back, data)
    compare_with_references(run, references, pretrained, learned)
    return learned


def read_feedback(run: PipelineRun, source: LabelKind) -> tuple[Artifact, Artifact | None, Artifact]:
    """The base as configured, the texts to pretrain it on (as `open_base` gives them), and the feedback, which it can read."""
    config = run.config
    start, texts = open_base(run)
    feedback = reading(start)(run, source)
    require_rankings(config.reward, source, feedback)
    require_reward(config.reward, feedback)
    return start, texts, feedback


def agree_on_preferences(run: PipelineRun, feedback: Artifact, read: Reading) -> Preferences:
    """From a feedback snapshot to what the reward learns from, shared with other flows; so for each part of it, whose own labels are `read`."""
    parts = run.config.reward.made_of
    own = {name: read(run.part(name), part.labels) for name, part in parts.items() if part.labels is not None}
    require_one_side(feedback, own)
    given = agree(run, run.config.reward, feedback)
    of_parts = {}
    for name, part in parts.items():
        if part.labels is not None:
            require_rankings(part.reward, part.labels, own[name])
        if name in own or part.reward.reads_votes:
            of_parts[name] = agree(run.part(name), part.reward, own.get(name, feedback))
        else:
            of_parts[name] = replace(given, draws=draw(run.part(name), part.reward, given.told))
    return replace(given, parts=of_parts)


def agree(run: PipelineRun, reward: RewardKind, feedback: Artifact) -> Preferences:
    """What one reward learns from, of its own labels."""
    config, told, own_pairs = run.config, feedback, None
    reads_votes = reward.reads_votes  # it can do without pairs, and is told of ratings themselves
    if labelers := config.consensus.held_out_labelers:
        told = hold_out_labelers(run, labelers=labelers, feedback=feedback, of_part=bool(run.prefix))
    require_votes(reward, told)
    consensus = agree_on_rankings(run, config=config.consensus, feedback=told, only_outright=reads_votes)
    if reward.reads_own_pairs:
        own_pairs = convert_own_rankings(run, config=config.pairs, feedback=told)
        require_own_pairs(reward, own_pairs, told)
    needed = not (reads_votes or reward.reads_own_pairs)
    pairs = convert_to_pairs(run, config=config.pairs, consensus=consensus, feedback=told, needed=needed)
    return Preferences(feedback, told, pairs, draw(run, reward, told), own_pairs)


def draw(run: PipelineRun, reward: RewardKind, told: Artifact) -> Artifact | None:
    """The pairs of draws of the labelers, where the reward asks for some."""
    config = run.config
    if not reward.num_draws:
        return None
    how = {"consensus": config.consensus, "pairs": config.pairs, "seed": config.seed}
    return draw_labelers(run, num_draws=reward.num_draws, **how, feedback=told)


def hold_back(run: PipelineRun, feedback: Artifact) -> Artifact | None:
    """What the judge that is a reward model learns from; None where the settings ask for no such judge."""
    config = run.config
    if config.evaluation.held_out_reward is None:
        return None
    return hold_pairs_back(
        run,
        consensus=config.consensus,
        pairs=config.pairs,
        held_out_labelers=config.consensus.held_out_labelers,
        feedback=feedback,
    )


def train_judge(run: PipelineRun, base: Artifact, held_back: Artifact | None) -> Artifact | None:
    """The judge that is a reward model, where there is something for it to learn from."""
    config = run.config
    if held_back is None or (judge := config.evaluation.held_out_reward) is None:
        return None
    return train_held_out_reward(
        run, config=judge.reward, base=base, held_back=held_back, compute=config.compute, seed=config.seed
    )


def learn_reward(run: PipelineRun, config: RewardKind, base: Artifact, given: Preferences) -> tuple[Artifact, Artifact]:
    """The reward, and the report on how good it is; first those that it is made of. Shared with flow `reward`."""
    compute, seed = run.config.compute, run.config.seed
    parts = {
        name: learn_reward(run.part(name), part.reward, base, given.parts[name])[0]
        for name, part in config.made_of.items()
    }
    reward = train_reward_model(
        run,
        config=config,
        base=base,
        feedback=given.told,
        pairs=given.pairs,
        draws=given.draws,
        rankings=given.told if config.reads_rankings else None,
        votes=given.told if config.reads_votes else None,
        own_pairs=given.own_pairs,
        parts=parts or None,
        compute=compute,
        seed=seed,
    )
    report = report_on_reward(run, reward=reward, feedback=given.feedback, pairs=given.pairs, compute=compute)
    return reward, report


def learn_from_preferences(
    run: PipelineRun, base: Artifact, given: Preferences, held_back: Artifact | None, data: dict[str, TuningData]
) -> Learned:
    """Everything from pairs to the registered policy and its matches, shared with other flows. `held_back`: as `hold_back` gives it."""
    config, feedback, pairs = run.config, given.feedback, given.pairs
    reward, report = learn_reward(run, config.reward, base, given)
    for tuning in config.tunings.values():
        require_accuracy(tuning, report)
    judge = train_judge(run, base, held_back)
    policy = base
    for name, tuning in config.tunings.items():
        own = run if name == "tuning" else run.part(name)
        policy = tune(own, tuning, policy, reward, judge, given, data[name])
    matches = judge_policy(run, base, policy, reward, judge, feedback)
    registered = register_models(run, policy=policy, reward=reward, base=base, feedback=feedback, pairs=pairs)
    return Learned(registered, matches, judge)


def tune(
    run: PipelineRun,
    tuning: TuningKind,
    start: Artifact,
    reward: Artifact,
    held_out_reward: Artifact | None,
    given: Preferences,
    data: TuningData,
) -> Artifact:
    """The policy that a tuning makes of the one to start from."""
    config = run.config
    chooser = config.chooser_of(tuning)
    compared = {"completions": given.told, "pairs": given.pairs} if tuning.reads_pairs else {}
    return tune_policy(
        run,
        config=tuning,
        sampling=config.sampling,
        base=start,
        reward=reward,
        judge=chooser,
        held_out_reward=held_out_reward if isinstance(chooser, HeldOutReward) else None,
        feedback=given.told,
        prompts=data.prompts,
        texts=data.texts,
        compute=config.compute,
        seed=config.seed,
        **compared,
    )


def judge_policy(
    run: PipelineRun,
    base: Artifact,
    policy: Artifact,
    reward: Artifact,
    held_out_reward: Artifact | None,
    feedback: Artifact,
) -> Artifact:
    """The matches of a policy with its base on held-out prompts, which the judges have judged; shared with flow `evaluate`."""
    config = run.config
    matches = play_held_out(
        run,
        num_prompts=config.evaluation.num_prompts,
        num_samples=config.evaluation.num_samples,
        sampling=config.sampling,
        base=base,
        policy=policy,
        reward=reward,
        feedback=feedback,
        compute=config.compute,
        seed=config.seed,
    )
    evaluate_policy(
        run,
        config=config.evaluation,
        matches=matches,
        base=base,
        policy=policy,
        reward=reward,
        held_out_reward=held_out_reward,
        votes=ask_people(run, matches),
        compute=config.compute,
    )
    return matches


def compare_with_references(
    run: PipelineRun, references: Artifact | None, pretrained: Artifact, learned: Learned
) -> None:
    """Each version of the model beside what people wrote to held-out prompts, where there is such; shared with flow `rlhf`."""
    if references is None:
        return
    config = run.config
    chosen = {"best_of": config.evaluation.best_of, "compute": config.compute}
    of_policy = learned.policy
    sft = of_policy.base if config.sft else None
    made = {"pretrained": pretrained, "sft": sft, "policy": of_policy.policy, "reward": of_policy.reward}
    versions = sample_versions(
        run,
        num_prompts=config.evaluation.num_prompts,
        num_samples=config.evaluation.num_samples,
        sampling=config.sampling,
        references=references,
        seed=config.seed,
        **chosen,
        **made,
    )
    judge_by_references(
        run,
        config=config.evaluation,
        versions=versions,
        held_out_reward=learned.held_out_reward,
        **chosen,
        **made,
    )
