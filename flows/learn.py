"""Flow `learn`: rankings -> consensus -> pairs -> reward model -> policy -> report. Starts where people end."""

from typing import Any

from prefect import flow

from flows.base import TuningData, adapt_base, open_base, read_tuning_data
from models.errors import ConfigError
from models.records import Artifact
from models.settings.labels import FeedbackFiles, SimulatedLabels, StoredFeedback
from models.settings.pipeline import PipelineConfig
from tasks.champion.snapshot import freeze_snapshot
from tasks.judging.evaluation import evaluate_policy, play_held_out, require_judges
from tasks.judging.reward_report import report_on_reward, require_accuracy
from tasks.reporting.report import register_models, write_report
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.stages.consensus import agree_on_rankings
from tasks.stages.hold_out import hold_out_labelers
from tasks.stages.labels import ingest_feedback
from tasks.stages.pairs import convert_to_pairs
from tasks.stages.reward import train_reward_model
from tasks.stages.tuning import tune_policy
from tasks.tracking.registry import RegisteredPolicy


@flow(name="learn")
def learn(config: PipelineConfig) -> dict[str, Any]:
    """Learns a policy from rankings that exist already, and reports on it."""
    with open_run(config, "learn") as run:
        if isinstance(config.labels, SimulatedLabels):
            raise ConfigError("labels.kind simulated has no rankings to start from; use flow rlhf, or labels of people")
        labels = config.labels
        source = freeze_snapshot(run, labels) if isinstance(labels, StoredFeedback) else labels
        policy, matches = learn_from_source(run, source)
        return write_report(run, matches, policy)


def learn_from_source(run: PipelineRun, source: FeedbackFiles) -> tuple[RegisteredPolicy, Artifact]:
    """Everything from files of feedback to the registered policy and its matches, shared with flow `retrain`."""
    config = run.config
    start, texts = open_base(run)
    feedback = ingest_feedback(
        run,
        config=source,
        split=config.split,
        base=start,
        max_new_tokens=config.sampling.max_new_tokens,
        seed=config.seed,
    )
    require_judges(config.evaluation, feedback)
    told, pairs = agree_on_pairs(run, feedback)  # what cannot be learned from is said before anything is trained
    data = read_tuning_data(run, start, told, sides=feedback)
    base = adapt_base(run, start, texts, told, sides=feedback)
    return learn_from_pairs(run, base, feedback, told, pairs, data)


def agree_on_pairs(run: PipelineRun, feedback: Artifact) -> tuple[Artifact, Artifact]:
    """What is learned from of a feedback snapshot, and its pairs, shared with other flows."""
    config, told = run.config, feedback
    if labelers := config.consensus.held_out_labelers:
        told = hold_out_labelers(run, labelers=labelers, feedback=feedback)
    consensus = agree_on_rankings(run, config=config.consensus, feedback=told)
    return told, convert_to_pairs(run, config=config.pairs, consensus=consensus, feedback=told)


def learn_from_pairs(
    run: PipelineRun, base: Artifact, feedback: Artifact, told: Artifact, pairs: Artifact, data: TuningData
) -> tuple[RegisteredPolicy, Artifact]:
    """Everything from pairs to the registered policy and its matches, shared with other flows.

    `told`: the part of the feedback that is learned from; all of it tells how good what was learned is.
    """
    config = run.config
    compute, seed = config.compute, config.seed
    reward = train_reward_model(
        run, config=config.reward, base=base, feedback=told, pairs=pairs, compute=compute, seed=seed
    )
    report = report_on_reward(run, reward=reward, feedback=feedback, pairs=pairs, compute=compute)
    require_accuracy(config.tuning, report)
    policy = tune_policy(
        run,
        config=config.tuning,
        sampling=config.sampling,
        base=base,
        reward=reward,
        feedback=told,
        prompts=data.prompts,
        texts=data.texts,
        compute=compute,
        seed=seed,
    )
    matches = judge_policy(run, base, policy, reward, feedback)
    registered = register_models(run, policy=policy, reward=reward, base=base, feedback=feedback, pairs=pairs)
    return registered, matches


def judge_policy(run: PipelineRun, base: Artifact, policy: Artifact, reward: Artifact, feedback: Artifact) -> Artifact:
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
        compute=config.compute,
    )
    return matches
