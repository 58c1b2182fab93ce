"""What is handed to labelers, where flow `collect` ends and people begin: in the feedback store, and as a folder."""

import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from labeling.importers.read_feedback import read_feedback
from labeling.store.batches import GoldPrompt, prompts_by_batch, publish
from labeling.store.database import FeedbackStore
from models.errors import ConfigError, DataError
from models.records import Artifact, Completion, Prompt, read_records
from models.settings.labels import AnnotatedFile
from models.settings.pipeline import PipelineConfig
from tasks.running.pipeline_run import PipelineRun
from tasks.running.stage import Work, stage


@stage("batch", kind="batch", unit="completions")
def make_batch(work: Work, prompts: Artifact, completions: Artifact, instructions: str) -> int:
    """A folder with instructions.md, prompts.jsonl and completions.jsonl."""
    shutil.copy(prompts.folder / "prompts.jsonl", work.folder)
    shutil.copy(completions.folder / "completions.jsonl", work.folder)
    (work.folder / "instructions.md").write_text(instructions, encoding="utf-8")
    return completions.rows


@task(name="publish-batch", cache_policy=NO_CACHE)
def publish_batch(run: PipelineRun, batch: Artifact) -> str:
    """Publishes the batch in the feedback store and gives back its id there. Doing it again changes nothing.

    Prompts that have too few completions for the kind of task are left out.
    """
    config = run.config.batch
    completions = read_records(batch.folder / "completions.jsonl", Completion)
    count = Counter(one.prompt_id for one in completions)
    least = 2 if config.task.kind in ("ranking", "choice") else 1
    sampled = read_records(batch.folder / "prompts.jsonl", Prompt)
    prompts = [one for one in sampled if count[one.id] >= least]
    shown = {one.id for one in prompts}
    with FeedbackStore(run.config.feedback.url) as store, store.write() as session:
        batch_id = publish(
            session,
            config,
            title=f"{config.criterion}, {len(prompts)} prompts, {run.own_name}",
            instructions=(batch.folder / "instructions.md").read_text(encoding="utf-8"),
            prompts=prompts,
            completions=[one for one in completions if one.prompt_id in shown],
            gold=read_gold(run.config),
            now=datetime.now(UTC),
        )
    run.tracked.set_tags({"rein.batch": batch_id})
    text = (
        f"# Batch `{batch_id}`\n\n{len(prompts)} prompts to judge by {config.criterion}, in `{run.config.feedback.url}`"
    )
    if len(prompts) < len(sampled):
        text += f"\n\n{len(sampled) - len(prompts)} prompts are left out: they have fewer than {least} completions."
    create_markdown_artifact(text, key="published-batch", description="What labelers are given")
    return batch_id


def rounds_asked(run: PipelineRun, dealt: Sequence[Artifact]) -> list[str]:
    """Of each round that was published already, in their order, the batch: one by this criterion about prompts of that round alone."""
    with FeedbackStore(run.config.feedback.url) as store, store.read() as session:
        about = prompts_by_batch(session, run.config.batch.criterion)
    asked = []
    for prompts in dealt:
        own = {one.id for one in read_records(prompts.folder / "prompts.jsonl", Prompt)}
        batches = [batch for batch, shown in about.items() if shown <= own]
        if not batches:
            break
        asked.append(batches[-1])
    return asked


def hand_out(run: PipelineRun, batch: Artifact) -> Path:
    """A copy of the batch below `batches/` for people to add their rankings.jsonl to; one that is there is never touched."""
    folder = run.root / "batches" / batch.sha256[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(batch.folder, folder)
    return folder


def read_instructions(config: PipelineConfig, path: str | None, key: str) -> str:
    """The instructions for labelers, from the Markdown file that the setting `key` names, or those of the world that the prompts are of.

    Raises ConfigError where the prompts are the user's own and there are none, DataError for a file that is missing or no UTF-8.
    """
    if path is not None:
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{key}: {path}: {error}") from None
    source = config.prompts and config.prompts.source
    instructions = getattr(source.load_module(), "INSTRUCTIONS", None) if source else None
    if instructions is None:
        raise ConfigError(f"{key}: name a Markdown file that tells labelers how to judge")
    return instructions


def read_gold(config: PipelineConfig) -> list[GoldPrompt]:
    """The prompts of `batch.gold` with their known order. Raises DataError for bad rows and for several orders of one prompt."""
    if config.batch.gold is None:
        return []
    source = AnnotatedFile(path=config.batch.gold, criterion=config.batch.criterion)
    feedback = read_feedback(source, config.split, config.seed)
    orders = {one.prompt_id: one for one in feedback.rankings}
    if len(orders) < len(feedback.rankings):
        raise DataError(f"batch.gold: {config.batch.gold}: a prompt has several orders; its known order is one")
    prompts = {one.id: one for one in feedback.prompts}
    return [
        GoldPrompt(prompts[name], [one for one in feedback.completions if one.id in order.places], order)
        for name, order in orders.items()
    ]
