"""What labelers say, kept for ever: each submission, edit and taking back is a row of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.store.batches import version_read
from labeling.store.schema import Assignment, Batch, Judgement, Labeler, Task
from models.degrees import DEGREES, Degree
from models.errors import DataError
from models.records import Ranking, Rating, content_id

MAX_NOTE_LENGTH = 4000
MAX_SUBMISSION_LENGTH = 64
UNUSABLE_REASONS = ("off topic", "wrong", "harmful", "unreadable", "cut off", "other")


class NotYours(DataError):
    """A labeler named an assignment that is not theirs."""


@dataclass(frozen=True)
class Answer:
    """What the page sends: a ranking (`levels`, best first, and `unusable`: completion id -> reason) or a rating (`wanted`). Of two
    completions also the `degree` by which one is better, where the task asks.

    `submission` is a random key made by the sender: the same one sent twice is stored once.
    """

    submission: str
    levels: tuple[tuple[str, ...], ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    wanted: bool | None = None
    degree: Degree | None = None
    note: str = ""


def judge(session: Session, assignment_id: int, labeler_id: int, answer: Answer, now: datetime) -> Judgement:
    """Stores an answer as the next revision of its assignment; it is kept once the transaction is committed.

    Raises NotYours for another labeler's assignment, DataError for an answer that does not fit what was shown, and for a
    submission key that came with another answer before.
    """
    assignment = _own(session, assignment_id, labeler_id)
    task = session.get_one(Task, assignment.task_id)
    batch = session.get_one(Batch, task.batch_id)
    record = _record_of(session, assignment, task, batch, answer)
    earlier = session.scalar(select(Judgement).where(Judgement.submission == answer.submission))
    if earlier is not None:
        if (earlier.assignment_id, earlier.record_id, earlier.note) != (assignment.id, record.id, answer.note):
            raise DataError(f"submission {answer.submission}: was used for another answer already")
        return earlier
    judgement = Judgement(
        assignment_id=assignment.id,
        revision=_next_revision(session, assignment.id),
        record_id=record.id,
        levels=[list(level) for level in record.levels] if isinstance(record, Ranking) else None,
        unusable=dict(answer.unusable) if isinstance(record, Ranking) else None,
        wanted=answer.wanted,
        degree=answer.degree,
        note=answer.note,
        instructions_version=version_read(session, labeler_id, batch.id),
        submission=answer.submission,
        seconds=(now - assignment.given_at).total_seconds(),
        created_at=now,
    )
    session.add(judgement)
    _close(assignment, "done", answer.submission, now)
    session.flush()
    return judgement


def skip(
    session: Session, assignment_id: int, labeler_id: int, submission: str, now: datetime, takes_back: str | None = None
) -> None:
    """Sets a task aside for this labeler for good; its place is free for others. The same `submission` skips once, also where the task
    was opened again since.

    `takes_back` names the submission that has judged it, if one has: what was said stays stored, followed by a revision that takes it
    back. Raises DataError for a judged task where it names none, or another.
    """
    assignment = _own(session, assignment_id, labeler_id)
    if assignment.closed_by == submission:
        return
    if assignment.state == "done":
        if assignment.closed_by != takes_back:
            raise DataError(f"assignment {assignment_id}: is judged, and not by what is to be taken back")
        session.add(
            Judgement(
                assignment_id=assignment.id,
                revision=_next_revision(session, assignment.id),
                note="",
                submission=content_id("t", submission),
                created_at=now,
            )
        )
    _close(assignment, "skipped", submission, now)
    session.flush()


def last_submission(session: Session, batch_id: str, labeler_id: int, before: Assignment | None = None) -> str | None:
    """The key of what a labeler judged or skipped last in a batch (`before` this one, if named); None for nothing."""
    last = (
        select(Assignment.closed_by)
        .where(Assignment.batch_id == batch_id, Assignment.labeler_id == labeler_id)
        .where(Assignment.state.in_(["done", "skipped"]))
        .order_by(Assignment.closed_at.desc(), Assignment.id.desc())
        .limit(1)
    )
    if before is not None:
        is_earlier = (Assignment.closed_at == before.closed_at) & (Assignment.id < before.id)
        last = last.where((Assignment.closed_at < before.closed_at) | is_earlier)
    return session.scalar(last)


def reopen(session: Session, batch: Batch, labeler_id: int, submission: str, now: datetime) -> Assignment | None:
    """The task that this submission of the labeler judged or skipped, to be judged again; None when it does not hold any more.

    A judged one stays so: the answer counts until the next one, a further revision, is stored, or the task is skipped. Opening the
    same `submission` again does nothing more.
    """
    assignment = session.scalar(
        select(Assignment)
        .where(Assignment.batch_id == batch.id, Assignment.labeler_id == labeler_id)
        .where(Assignment.closed_by == submission, Assignment.state.in_(["done", "skipped", "open"]))
        .with_for_update()
    )
    if assignment is not None and assignment.state == "skipped":
        assignment.state = "open"
        assignment.leased_until = now + timedelta(seconds=batch.lease_seconds)
        session.flush()
    return assignment


def _close(assignment: Assignment, state: str, submission: str, now: datetime) -> None:
    assignment.state, assignment.closed_at, assignment.closed_by = state, now, submission


def _own(session: Session, assignment_id: int, labeler_id: int) -> Assignment:
    assignment = session.scalar(select(Assignment).where(Assignment.id == assignment_id).with_for_update())
    if assignment is None or assignment.labeler_id != labeler_id:
        raise NotYours(f"assignment {assignment_id}: is not yours")
    return assignment


def _next_revision(session: Session, assignment_id: int) -> int:
    newest = session.scalar(select(func.max(Judgement.revision)).where(Judgement.assignment_id == assignment_id))
    return (newest or 0) + 1


def _record_of(session: Session, assignment: Assignment, task: Task, batch: Batch, answer: Answer) -> Ranking | Rating:
    """The record that an answer makes. Raises DataError unless it fits the task."""
    if not 0 < len(answer.submission) <= MAX_SUBMISSION_LENGTH:
        raise DataError(f"submission: expected 1 to {MAX_SUBMISSION_LENGTH} characters, found {len(answer.submission)}")
    if len(answer.note) > MAX_NOTE_LENGTH:
        raise DataError(f"note: at most {MAX_NOTE_LENGTH} characters, found {len(answer.note)}")
    name = session.get_one(Labeler, assignment.labeler_id).name
    if batch.task["kind"] in ("thumbs", "yes_no"):
        if answer.wanted is None or answer.levels or answer.unusable or answer.degree:
            raise DataError("wanted: this task asks for a yes or a no")
        return Rating.of(task.prompt_id, assignment.shown_order[0], name, batch.criterion, answer.wanted)
    if answer.wanted is not None:
        raise DataError("wanted: this task asks for an order")
    named = [one for level in answer.levels for one in level] + list(answer.unusable)
    if sorted(named) != sorted(assignment.shown_order):
        raise DataError(
            "levels: every completion that was shown must stand in them (or be marked unusable) exactly once"
        )
    if any(not level for level in answer.levels):
        raise DataError("levels: a level is empty")
    for completion, reason in answer.unusable.items():
        if reason not in UNUSABLE_REASONS:
            raise DataError(f"unusable: {completion}: the reason must be one of {', '.join(UNUSABLE_REASONS)}")
    if (answer.degree is not None) != (batch.task.get("degrees", False) and len(answer.levels) == 2):
        raise DataError(
            f"degree: where one of two is better, and the task asks by how much, one of {', '.join(DEGREES)}; else none"
        )
    return Ranking.of(task.prompt_id, name, batch.criterion, answer.levels, answer.unusable, degree=answer.degree)
