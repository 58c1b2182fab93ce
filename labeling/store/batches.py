"""Batches: what is published for labelers, and the instructions that go with it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import combinations
from typing import NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from labeling.store.schema import (
    Batch,
    CompletionRow,
    CompletionSystem,
    Instructions,
    InstructionsRead,
    PromptRow,
    Task,
)
from models.errors import DataError
from models.records import Authorship, Completion, Prompt, Ranking, content_id
from models.settings.batch import BatchConfig, BatchTask

CHUNK = 500  # ids in one query: both databases limit the number of parameters


class Shown(NamedTuple):
    """What a task shows: completions of a prompt, in a session, and the known order of a gold one."""

    prompt_id: str
    completion_ids: Sequence[str]
    session: str = ""
    gold_levels: list[list[str]] | None = None


class GoldPrompt(NamedTuple):
    """A prompt whose right order is known."""

    prompt: Prompt
    completions: list[Completion]
    order: Ranking


def prompts_by_batch(session: Session, criterion: str) -> dict[str, set[str]]:
    """Batch, oldest first -> ids of the prompts that it asks about to learn from what is said, of those by this criterion."""
    asked = (
        select(Task.batch_id, Task.prompt_id)
        .join(Batch)
        .where(Batch.criterion == criterion, Batch.is_learned_from, Task.gold_levels.is_(None))
        .order_by(Batch.created_at, Batch.id)
    )
    found: dict[str, set[str]] = {}
    for batch, prompt in session.execute(asked):
        found.setdefault(batch, set()).add(prompt)
    return found


def publish(
    session: Session,
    config: BatchConfig,
    title: str,
    instructions: str,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    gold: Sequence[GoldPrompt],
    now: datetime,
    is_learned_from: bool = True,
) -> str:
    """Publishes prompts with their completions to labelers and gives back the batch's id.

    Where another batch has the title, it gets a number: "helpfulness, 50 prompts, 2026-05-01 (2)". The id is derived from criterion, task and what is shown: publishing the same again makes no second batch; changed
    instructions become a new version, and changed numbers (labelers per prompt, lease, gold) and how texts are shown first hold from then on. The same to learn from
    and not to learn from (`is_learned_from`) are two batches.
    Raises DataError for empty instructions, for fewer gold prompts than a qualification asks, for a prompt with fewer than two completions where they are compared, and for
    one that is a gold prompt as well.
    """
    if not instructions.strip():
        raise DataError("the instructions of a batch must not be empty: labelers judge by what is written there")
    if config.qualification is not None and len(gold) < config.qualification.num_tasks:
        raise DataError(
            f"batch.qualification: asks for {config.qualification.num_tasks} tasks, but batch.gold has {len(gold)} prompts whose order is known"
        )
    shown = _tasks_of(config.task, prompts, completions)
    both = {one.id for one in prompts} & {one.prompt.id for one in gold}
    if both:
        raise DataError(f"prompt {min(both)}: is a gold prompt and one to learn from; leave it out of one of them")
    gold_shown = [
        Shown(one.prompt.id, [c.id for c in one.completions], gold_levels=[list(level) for level in one.order.levels])
        for one in gold
    ]
    batch_id = content_id(
        "b" if is_learned_from else "h", config.criterion, config.task.model_dump(), shown, gold_shown
    )
    batch = session.get(Batch, batch_id)
    if batch is None:
        gold_prompts, gold_completions = [one.prompt for one in gold], [c for one in gold for c in one.completions]
        keep_records(session, [*prompts, *gold_prompts], [*completions, *gold_completions])
        batch = Batch(
            id=batch_id,
            title=_told_apart(session, title),
            criterion=config.criterion,
            task=config.task.model_dump(),
            is_learned_from=is_learned_from,
            created_at=now,
        )
        _set_numbers(batch, config)
        session.add(batch)
        session.flush()
        add_tasks(session, batch_id, [*shown, *gold_shown])
    _set_numbers(batch, config)
    _keep_instructions(session, batch_id, instructions, now)
    return batch_id


class PublishedBatch(NamedTuple):
    """What a batch shows, gold prompts left out."""

    criterion: str
    instructions: str
    labelers_per_prompt: int
    prompts: list[Prompt]
    completions: list[Completion]


def read_batch(session: Session, batch_id: str) -> PublishedBatch:
    """A batch of rankings with its newest instructions. Raises DataError where there is none of this id, or it is of another kind."""
    batch = session.get(Batch, batch_id)
    instructions = current_instructions(session, batch_id)
    if batch is None or instructions is None or batch.task["kind"] != "ranking":
        raise DataError(f"batch {batch_id}: the feedback store has no published batch of rankings with this id")
    of_batch = (Task.batch_id == batch_id, Task.gold_levels.is_(None))
    prompts = session.scalars(
        select(PromptRow).join(Task, Task.prompt_id == PromptRow.id).where(*of_batch).order_by(Task.position)
    )
    shown = {name for names in session.scalars(select(Task.completion_ids).where(*of_batch)) for name in names}
    completions = session.scalars(
        select(CompletionRow)
        .join(Task, Task.prompt_id == CompletionRow.prompt_id)
        .where(*of_batch)
        .order_by(Task.position, CompletionRow.id)
    )
    return PublishedBatch(
        batch.criterion,
        instructions.text,
        batch.labelers_per_prompt,
        [Prompt(id=one.id, text=one.text, split=one.split) for one in prompts],
        [
            Completion(id=one.id, prompt_id=one.prompt_id, text=one.text, ended=one.ended)
            for one in completions
            if one.id in shown
        ],
    )


def keep_records(session: Session, prompts: Iterable[Prompt], completions: Iterable[Completion]) -> None:
    """Adds the prompts and completions that the store does not know yet.

    Raises DataError where it knows an id with another text, or a prompt on another side of the split.
    """
    _keep(session, PromptRow, {one.id: one.model_dump() for one in prompts})
    _keep(session, CompletionRow, {one.id: one.model_dump() for one in completions})


def on_known_sides(session: Session, prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts, each on the side of the split that the store knows it on, if it does."""
    names = [one.id for one in prompts]
    known: dict[str, str] = {}
    for start in range(0, len(names), CHUNK):
        chunk = PromptRow.id.in_(names[start : start + CHUNK])
        known |= dict(session.execute(select(PromptRow.id, PromptRow.split).where(chunk)).all())
    return [one.model_copy(update={"split": known.get(one.id, one.split)}) for one in prompts]


def keep_systems(session: Session, systems: Sequence[Authorship]) -> None:
    """Adds who wrote which of the completions, as far as the store does not know it yet."""
    names = [one.completion_id for one in systems]
    known: set[tuple[str, str]] = set()
    for start in range(0, len(names), CHUNK):
        rows = select(CompletionSystem).where(CompletionSystem.completion_id.in_(names[start : start + CHUNK]))
        known |= {(row.completion_id, row.system) for row in session.scalars(rows)}
    fresh = [one.model_dump() for one in systems if (one.completion_id, one.system) not in known]
    if fresh:
        session.execute(insert(CompletionSystem), fresh)


def add_tasks(session: Session, batch_id: str, shown: Sequence[Shown]) -> None:
    """Appends tasks to a batch."""
    if not shown:
        return
    start = session.scalar(select(func.count()).select_from(Task).where(Task.batch_id == batch_id)) or 0
    rows = [
        {
            "batch_id": batch_id,
            "position": start + n,
            "prompt_id": one.prompt_id,
            "completion_ids": list(one.completion_ids),
            "session": one.session,
            "gold_levels": one.gold_levels,
        }
        for n, one in enumerate(shown)
    ]
    session.execute(insert(Task), rows)


def current_instructions(session: Session, batch_id: str) -> Instructions | None:
    """The newest version of a batch's instructions; None for an imported batch."""
    return session.scalar(
        select(Instructions).where(Instructions.batch_id == batch_id).order_by(Instructions.version.desc()).limit(1)
    )


def has_read_instructions(session: Session, labeler_id: int, batch_id: str) -> bool:
    """Whether a labeler has been shown the newest version of a batch's instructions and went on."""
    newest = current_instructions(session, batch_id)
    return newest is None or session.get(InstructionsRead, (labeler_id, batch_id, newest.version)) is not None


def version_read(session: Session, labeler_id: int, batch_id: str) -> int | None:
    """The newest version of a batch's instructions that a labeler has been shown; None where they have seen none."""
    read = (InstructionsRead.labeler_id == labeler_id, InstructionsRead.batch_id == batch_id)
    return session.scalar(select(func.max(InstructionsRead.version)).where(*read))


def mark_instructions_read(session: Session, labeler_id: int, batch_id: str, version: int, now: datetime) -> None:
    """Notes that a labeler was shown this version and went on. Raises DataError for a version that there is not."""
    if session.get(Instructions, (batch_id, version)) is None:
        raise DataError(f"batch {batch_id}: its instructions have no version {version}")
    if session.get(InstructionsRead, (labeler_id, batch_id, version)) is None:
        session.add(InstructionsRead(labeler_id=labeler_id, batch_id=batch_id, version=version, created_at=now))


def _tasks_of(task: BatchTask, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Shown]:
    """What each task shows; the first tasks of all prompts come before the second ones."""
    names: dict[str, list[str]] = {one.id: [] for one in prompts}
    for one in sorted(completions, key=lambda one: one.id):
        if one.prompt_id not in names:
            raise DataError(f"completion {one.id}: its prompt {one.prompt_id} is not in the batch")
        names[one.prompt_id].append(one.id)
    compares = task.kind in ("ranking", "choice")
    for prompt_id, of_prompt in names.items():
        if len(of_prompt) < 1 + compares:
            raise DataError(f"prompt {prompt_id}: has {len(of_prompt)} completion(s); a task needs {1 + compares}")
    if task.kind == "ranking":
        return [Shown(*one) for one in names.items()]
    size = 2 if task.kind == "choice" else 1
    each = [(prompt_id, list(combinations(of_prompt, size))) for prompt_id, of_prompt in names.items()]
    return [
        Shown(prompt_id, list(groups[turn]))
        for turn in range(max((len(groups) for _, groups in each), default=0))
        for prompt_id, groups in each
        if turn < len(groups)
    ]


def _told_apart(session: Session, title: str) -> str:
    taken = set(session.scalars(select(Batch.title).where(Batch.title.startswith(title, autoescape=True))))
    numbered = (f"{title} ({number})" for number in range(2, len(taken) + 2))
    return title if title not in taken else next(one for one in numbered if one not in taken)


def _set_numbers(batch: Batch, config: BatchConfig) -> None:
    batch.texts = config.texts
    batch.labelers_per_prompt = config.labelers_per_prompt
    batch.lease_seconds = config.lease_minutes * 60
    batch.gold_every = config.gold_every
    batch.qualification = config.qualification and config.qualification.model_dump()
    batch.completion_code = config.completion_code


def _keep_instructions(session: Session, batch_id: str, text: str, now: datetime) -> None:
    newest = current_instructions(session, batch_id)
    if newest is None or newest.text != text:
        version = 1 if newest is None else newest.version + 1
        session.add(Instructions(batch_id=batch_id, version=version, text=text, created_at=now))


def _keep(session: Session, table: type[PromptRow | CompletionRow], wanted: dict[str, dict]) -> None:
    names = list(wanted)
    for start in range(0, len(names), CHUNK):
        chunk = names[start : start + CHUNK]
        known = {row.id: row for row in session.scalars(select(table).where(table.id.in_(chunk)))}
        for name, row in known.items():
            for field, value in wanted[name].items():
                if (
                    getattr(row, field) != value and field != "ended"
                ):  # files of others do not tell, and the text is the same
                    raise DataError(
                        f"{table.__tablename__[:-1]} {name}: {field} is {value!r}, but the feedback store has {getattr(row, field)!r}"
                    )
        fresh = [wanted[name] for name in chunk if name not in known]
        if fresh:
            session.execute(insert(table), fresh)
