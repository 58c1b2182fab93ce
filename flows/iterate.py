"""Flow `iterate`: rounds of collecting and learning. Each round's completions come from the policy of the round before.

Whoever labels sees what the policy writes by now, and the reward model learns to tell apart what it will be asked about. All that was said
so far is learned from in every round, and every policy is tuned from the same base, to which its KL is measured (Touvron et al. 2023, "Llama 2",
section 3.2, collects preferences in such rounds, week by week).
"""

from typing import Any

from prefect import flow

from flows.base import adapt_base
from flows.collect import complete, sample, write_completions
from flows.feedback import ask_labelers, reading
from flows.learn import (
    Learned,
    agree_on_preferences,
    compare_with_references,
    hold_back,
    learn_from_preferences,
    learn_from_source,
)
from flows.rlhf import asking, begin
from models.errors import ConfigError
from models.records import Artifact
from models.settings.asked.labels import require_rounds
from models.settings.labels import StoredFeedback
from models.settings.pipeline import PipelineConfig
from tasks.champion.files import with_files
from tasks.champion.snapshot import freeze_snapshot, snapshot_of_batch
from tasks.judging.reward_report import report_on_reward
from tasks.reporting.report import write_report
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.stages.batch import hand_out, make_batch, publish_batch, read_instructions, rounds_asked
from tasks.stages.consensus import agree_on_rankings
from tasks.stages.labels import join_feedback
from tasks.stages.pairs import convert_to_pairs
from tasks.stages.prompts import deal_prompts
from tasks.tracking.registry import find_policy


@flow(name="iterate")
def iterate(config: PipelineConfig) -> dict[str, Any]:
    """Labels that answer at once: all `iteration.num_rounds`, and the report of the last. People (labels.kind store): a round a call.

    A call learns from what people have said of the batches so far, and publishes the next, which the tuned policy has written: `batch` and
    `folder` beside the report, as flow `collect` gives them; the first call only publishes, the last only learns.
    """
    with open_run(config, "iterate") as run:
        require_rounds(config.labels)
        return _next_round(run, config.labels) if isinstance(config.labels, StoredFeedback) else _all_rounds(run)


def _all_rounds(run: PipelineRun) -> dict[str, Any]:
    config, read = run.config, begin(run)
    dealt = _deal(run, read.prompts)
    pretrained, base = adapt_base(run, read.start, read.texts)
    feedback: Artifact | None = None
    rounds: list[Learned] = []
    for number, asked in enumerate(dealt, start=1):
        own = run if number == len(dealt) else run.part(f"round-{number}")
        completions = write_completions(own, rounds[-1].policy.policy if rounds else base, asked)
        said = ask_labelers(own, config.labels, asked, completions)
        feedback = join_feedback(own, earlier=feedback, later=said) if feedback else said
        preferences = agree_on_preferences(own, feedback, asking(feedback, feedback))  # parts: of all so far
        rounds.append(learn_from_preferences(own, base, preferences, hold_back(own, feedback), read.data))
        if len(rounds) > 1:
            earlier, now = (one.policy.reward for one in rounds[-2:])
            _compare_rewards(own, earlier, now, said)
    compare_with_references(run, read.references, pretrained, rounds[-1])
    return write_report(run, rounds[-1].matches, rounds[-1].policy)


def _deal(run: PipelineRun, prompts: Artifact) -> list[Artifact]:
    """The prompts of each round."""
    num_rounds = run.config.iteration.num_rounds
    return [
        deal_prompts(run.part(f"round-{number}"), prompts=prompts, number=number, num_rounds=num_rounds)
        for number in range(1, num_rounds + 1)
    ]


def _next_round(run: PipelineRun, labels: StoredFeedback) -> dict[str, Any]:
    """What stands in the feedback store says which round it is. The earlier reward is that of the policy which was registered last."""
    config = run.config
    if labels.criterion != config.batch.criterion:
        raise ConfigError(
            f"labels.criterion {labels.criterion!r}, batch.criterion {config.batch.criterion!r}: rounds learn from what they ask for"
        )
    instructions = read_instructions(config, config.batch.instructions, "batch.instructions")
    start, texts, prompts = sample(run)
    dealt = _deal(run, prompts)
    asked = rounds_asked(run, dealt)
    if not asked:
        *_, completions = complete(run, start, texts, dealt[0])
        return _publish(run, dealt[0], completions, instructions)
    newest = snapshot_of_batch(run, labels.criterion, asked[-1])
    before = find_policy(config.tracking, "challenger")
    learned = learn_from_source(run, freeze_snapshot(run, labels))
    if before is not None and len(asked) > 1:
        said = reading(start)(run.part("newest"), newest)
        _compare_rewards(run, with_files(run, before, "reward").reward, learned.policy.reward, said)
    report = write_report(run, learned.matches, learned.policy)
    if len(asked) == len(dealt):
        return report
    completions = write_completions(run, learned.policy.policy, dealt[len(asked)])
    return report | _publish(run, dealt[len(asked)], completions, instructions)


def _publish(run: PipelineRun, prompts: Artifact, completions: Artifact, instructions: str) -> dict[str, str]:
    batch = make_batch(run, prompts=prompts, completions=completions, instructions=instructions)
    return {"batch": publish_batch(run, batch), "folder": str(hand_out(run, batch))}


def _compare_rewards(run: PipelineRun, earlier: Artifact, now: Artifact, said: Artifact) -> None:
    """How well the reward of the round before, and this round's, know what people prefer among this round's completions, of held-out prompts."""
    config = run.config
    for name, reward in (("earlier-reward", earlier), ("this-reward", now)):
        part = run.part(name)
        consensus = agree_on_rankings(part, config=config.consensus, feedback=said)
        pairs = convert_to_pairs(part, config=config.pairs, consensus=consensus, feedback=said)
        report_on_reward(part, reward=reward, feedback=said, pairs=pairs, compute=config.compute)
