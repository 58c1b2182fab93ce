"""Who judges what: gives tasks to labelers and takes what they say.

Each task of a batch goes to `labelers_per_prompt` different labelers (and as many more as an overseer asks), and nobody is given one twice. (A ranking task is a whole
prompt; a choice is one pair of its completions, a rating one of them.) A given task keeps its place until its lease ends; then
another labeler may get it. What comes in after that is still kept: nothing said is lost.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from labeling.store.qualification import trial_of
from labeling.store.schema import Assignment, Batch, CompletionRow, Judgement, PromptRow, Task
from labeling.store.steering import is_left_out


@dataclass(frozen=True)
class Given:
    """A task as its labeler sees it. `completions` are (id, text) in the order shown to this labeler."""

    assignment_id: int
    batch: Batch
    prompt: str
    completions: list[tuple[str, str]]
    former: Judgement | None
    """What the labeler said before, when a task is opened again."""
    judged_by: str | None
    """The submission that said it, if it counts until something else is said; None where it was taken back."""


@dataclass(frozen=True)
class Progress:
    """Of one labeler in one batch: how many tasks are judged, skipped, and still to be had."""

    num_done: int
    num_skipped: int
    num_left: int


def next_task(session: Session, batch: Batch, labeler_id: int, now: datetime) -> Given | None:
    """The task to judge now: the open one of this labeler, else a new one; None when there is none left for them.

    Two labelers who ask at once take turns (the batch's row is locked), so that no prompt goes to too many.
    """
    session.execute(select(Batch.id).where(Batch.id == batch.id).with_for_update())
    if session.scalar(select(is_left_out(batch.id, labeler_id))):
        return None
    own = _own_open(session, batch, labeler_id, now)
    if own is None:
        task = session.scalar(select(Task).where(*_free(batch, labeler_id, now)).order_by(Task.position).limit(1))
        if task is None:
            return None
        trial = trial_of(session, batch, labeler_id)
        if trial.is_failed:
            return None
        if trial.is_under_way or _is_gold_due(session, batch, labeler_id):
            task = _unseen_gold(session, batch, labeler_id) or task
        own = Assignment(
            task_id=task.id,
            batch_id=batch.id,
            labeler_id=labeler_id,
            shown_order=_shuffled(task, labeler_id),
            given_at=now,
        )
        session.add(own)
    own.state = "open"
    own.leased_until = now + timedelta(seconds=batch.lease_seconds)
    session.flush()
    return as_shown(session, own)


def as_shown(session: Session, assignment: Assignment) -> Given:
    """What the labeler of an assignment sees."""
    task = session.get_one(Task, assignment.task_id)
    texts = dict(
        session.execute(
            select(CompletionRow.id, CompletionRow.text).where(CompletionRow.id.in_(assignment.shown_order))
        ).all()
    )
    return Given(
        assignment_id=assignment.id,
        batch=session.get_one(Batch, task.batch_id),
        prompt=session.get_one(PromptRow, task.prompt_id).text,
        completions=[(name, texts[name]) for name in assignment.shown_order],
        former=latest_judgement(session, assignment.id),
        judged_by=assignment.closed_by if assignment.state == "done" else None,
    )


def latest_judgement(session: Session, assignment_id: int) -> Judgement | None:
    """The last revision of an assignment that says something; a revision that takes back does not count."""
    return session.scalar(
        select(Judgement)
        .where(Judgement.assignment_id == assignment_id, Judgement.record_id.is_not(None))
        .order_by(Judgement.revision.desc())
        .limit(1)
    )


def progress(session: Session, batch: Batch, labeler_id: int, now: datetime) -> Progress:
    """How far a labeler is. `num_left` counts the tasks that they can still be given, and those that are open."""
    own = dict(
        session.execute(
            select(Assignment.state, func.count())
            .where(Assignment.batch_id == batch.id, Assignment.labeler_id == labeler_id)
            .group_by(Assignment.state)
        ).all()
    )
    free = select(func.count()).select_from(Task).where(*_free(batch, labeler_id, now))
    is_out = session.scalar(select(is_left_out(batch.id, labeler_id))) or trial_of(session, batch, labeler_id).is_failed
    left = 0 if is_out else (session.scalar(free) or 0) + own.get("open", 0)
    return Progress(own.get("done", 0), own.get("skipped", 0), left)


def _own_open(session: Session, batch: Batch, labeler_id: int, now: datetime) -> Assignment | None:
    """The labeler's open assignment; those whose place another has taken meanwhile lapse."""
    opened = session.execute(
        select(Assignment, Task.gold_levels.is_not(None), Task.extra_labelers)
        .join(Task, Task.id == Assignment.task_id)
        .where(Assignment.batch_id == batch.id, Assignment.labeler_id == labeler_id, Assignment.state == "open")
        .order_by(Assignment.id)
    )
    for assignment, is_gold, num_extra in opened.all():
        others = _num_places_taken(assignment.task_id, now).where(Assignment.labeler_id != labeler_id)
        if is_gold or session.scalar(others) < batch.labelers_per_prompt + num_extra:
            return assignment
        assignment.state = "lapsed"
    return None


def _free(batch: Batch, labeler_id: int, now: datetime) -> list[ColumnElement[bool]]:
    """Conditions on `Task`: no gold, has a place left, and was never given to this labeler."""
    return [
        Task.batch_id == batch.id,
        Task.gold_levels.is_(None),
        ~_was_given(labeler_id),
        _num_places_taken(Task.id, now).scalar_subquery() < batch.labelers_per_prompt + Task.extra_labelers,
    ]


def _num_places_taken(task_id: int | InstrumentedAttribute[int], now: datetime) -> Select[tuple[int]]:
    """A query for how many labelers have judged a task or hold a lease on it, without those who are left out."""
    holds = or_(Assignment.state == "done", and_(Assignment.state == "open", Assignment.leased_until > now))
    return (
        select(func.count())
        .select_from(Assignment)
        .where(Assignment.task_id == task_id, holds, ~is_left_out(Assignment.batch_id, Assignment.labeler_id))
    )


def _was_given(labeler_id: int) -> ColumnElement[bool]:
    """Condition on `Task`: it was given to this labeler before."""
    given = aliased(Assignment)
    return exists(select(given.id).where(given.task_id == Task.id, given.labeler_id == labeler_id).correlate(Task))


def _is_gold_due(session: Session, batch: Batch, labeler_id: int) -> bool:
    """Whether it is the turn of a gold task: the middle one of every `gold_every` tasks."""
    num_given = session.scalar(
        select(func.count())
        .select_from(Assignment)
        .where(Assignment.batch_id == batch.id, Assignment.labeler_id == labeler_id)
    )
    return num_given % batch.gold_every == batch.gold_every // 2


def _unseen_gold(session: Session, batch: Batch, labeler_id: int) -> Task | None:
    """The next gold task that this labeler was not given yet."""
    unseen = (Task.batch_id == batch.id, Task.gold_levels.is_not(None), ~_was_given(labeler_id))
    return session.scalar(select(Task).where(*unseen).order_by(Task.position).limit(1))


def _shuffled(task: Task, labeler_id: int) -> Sequence[str]:
    """The task's completions in an order that differs from labeler to labeler, and is the same when computed again."""
    names = list(task.completion_ids)
    random.Random(f"{task.id}/{labeler_id}").shuffle(names)
    return names
