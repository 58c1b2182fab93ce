"""People as a judge: what two models wrote is published on the labelers' page, and what has been voted so far is frozen for the evaluation."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from labeling.store.batches import on_known_sides, publish
from labeling.store.database import FeedbackStore
from labeling.store.snapshots import take_votes
from models.evaluation.judges.people import ShownPair
from models.evaluation.metrics import Game, Match
from models.records import Artifact, read_records
from models.settings.batch import BatchConfig, ChoiceTask
from models.settings.judges import People, Votes
from models.settings.pipeline import PipelineConfig
from tasks.champion.snapshot import write_snapshot
from tasks.judging.challenge import GAMES
from tasks.judging.evaluation import SAMPLES
from tasks.running.pipeline_run import PipelineRun
from tasks.stages.batch import read_instructions

INSTRUCTIONS = "evaluation.judges, kind people: instructions"  # the key


def require_people(config: PipelineConfig) -> None:
    """Reads the instructions and opens the feedback store, where people judge: what is wrong there is said before anything is trained."""
    if config.evaluation.people:
        read_instructions(config, config.evaluation.people.instructions, INSTRUCTIONS)
        FeedbackStore(config.feedback.url).close()


@task(name="ask-people", cache_policy=NO_CACHE)
def ask_people(run: PipelineRun, written: Artifact) -> Votes | None:
    """What people have voted so far on the texts of two models; None where the settings ask nobody, and where both wrote the same.

    `written`: what stage `matches` or `games` made. The texts are those of the first prompts, of each the first that either model drew.
    They are published as a batch of the feedback store, which is there already when this is done again.
    """
    config = run.config.evaluation
    if config.people is None:
        return None
    pairs = _pairs(written)[:: config.num_samples][: config.people.num_prompts]
    shown = [pair for pair in pairs if not pair.is_equal]
    if not shown:
        return None
    with FeedbackStore(run.config.feedback.url) as store:
        batch_id = publish_head_to_head(run, store, config.people, shown)
        with store.read() as session:
            votes = take_votes(session, batch_id)
    folder, _ = write_snapshot(run.root / "votes", votes)
    return Votes(path=str(folder), batch=batch_id)


def publish_head_to_head(run: PipelineRun, store: FeedbackStore, people: People, shown: Sequence[ShownPair]) -> str:
    """Publishes pairs of texts, and gives back the batch's id.

    Who wrote which is kept nowhere in the store: ids are those of the texts, rows stand in their order, and each labeler is shown a pair
    in an order that is drawn for them (`labeling/store/assignments.py`).
    """
    config = run.config
    task_of_batch = BatchConfig(
        criterion=people.criterion,
        task=ChoiceTask(),
        labelers_per_prompt=people.votes_per_prompt,
        lease_minutes=config.batch.lease_minutes,
    )
    completions = sorted({one.id: one for pair in shown for one in (pair.first, pair.second)}.items())
    with store.write() as session:
        batch_id = publish(
            session,
            task_of_batch,
            title=f"Which is better? {len(shown)} prompts, {run.own_name}",
            instructions=read_instructions(config, people.instructions, INSTRUCTIONS),
            prompts=on_known_sides(session, [pair.prompt for pair in shown]),
            completions=[one for _, one in completions],
            gold=[],
            now=datetime.now(UTC),
            is_learned_from=False,
        )
    run.tracked.set_tags({"rein.head_to_head": batch_id})
    text = f"# Head-to-head `{batch_id}`\n\n{len(shown)} pairs of texts to judge by {people.criterion}, in `{config.feedback.url}`"
    create_markdown_artifact(text, key="published-head-to-head", description="What people are asked about")
    return batch_id


def _pairs(written: Artifact) -> list[ShownPair]:
    if written.kind == "games":
        games = read_records(written.folder / GAMES, Game)
        return [
            ShownPair.of(
                one.prompt,
                one.challenger_completion,
                one.champion_completion,
                (one.challenger_ended, one.champion_ended),
            )
            for one in games
        ]
    matches = read_records(written.folder / SAMPLES, Match)
    return [
        ShownPair.of(one.prompt, one.policy_completion, one.base_completion, (one.policy_ended, one.base_ended))
        for one in matches
    ]
