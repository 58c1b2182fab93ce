"""Feedback from elsewhere into the store: importing the same twice changes nothing, and an edit is a further revision."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from labeling.feedback import Feedback, rankings_of_ratings
from labeling.store.batches import Shown, add_tasks, keep_records, keep_systems
from labeling.store.schema import Assignment, Batch, Judgement, Labeler, Task
from models.records import Ranking, Rating, content_id
from models.settings.batch import RankingTask, ThumbsTask

TaskKey = tuple[str, tuple[str, ...], str]
"""A prompt, the completions that were judged together, and the session."""


class Intake(NamedTuple):
    """What an import did. `num_taken_back`: said in an earlier import of this source, and no longer there."""

    num_new: int
    num_edited: int
    num_taken_back: int
    num_unchanged: int


def take_in(session: Session, feedback: Feedback, source: str, is_complete: bool, now: datetime) -> Intake:
    """Adds rankings and ratings from `source` (a name that stays the same when the source is read again).

    Where the source says something new about a task that it had before, this is a further revision. `is_complete`: the
    feedback is all that the source holds, so what it held before and lacks now is taken back. Labelers are known by their
    names: an imported one and one who signs in under the same name are the same person. Rankings that follow from the
    ratings are not stored a second time. Raises DataError where ids or splits contradict what the store knows.
    """
    keep_records(session, feedback.prompts, feedback.completions)
    keep_systems(session, feedback.systems)
    labelers = _labeler_ids(session, feedback, now)
    derived = {one.id for one in rankings_of_ratings(feedback.ratings)}
    parts: dict[tuple[str, str], list[Ranking | Rating]] = _parts_before(session, source) if is_complete else {}
    for one in feedback.rankings:
        if one.id not in derived:
            parts.setdefault(("ranking", one.criterion), []).append(one)
    for one in feedback.ratings:
        parts.setdefault(("thumbs", one.criterion), []).append(one)
    counts = [
        _take_in_part(session, kind, criterion, records, labelers, source, is_complete, now)
        for (kind, criterion), records in parts.items()
    ]
    return Intake(*(sum(column) for column in zip(*counts, strict=True))) if counts else Intake(0, 0, 0, 0)


def _take_in_part(
    session: Session,
    kind: str,
    criterion: str,
    records: Sequence[Ranking | Rating],
    labelers: dict[str, int],
    source: str,
    is_complete: bool,
    now: datetime,
) -> Intake:
    batch_id = _batch_of_source(session, kind, criterion, source, now)
    tasks = _task_ids(session, batch_id, [_task_key(one) for one in records])
    said = {(tasks[_task_key(one)], labelers[one.labeler]): one for one in records}
    assignments = _assignment_ids(session, batch_id, said, now)
    known = _newest_revisions(session, batch_id)
    rows = []
    num_new = num_edited = 0
    for key, record in said.items():
        revision, record_id = known.get(assignments[key], (0, None))
        if record_id != record.id:
            rows.append(_row(assignments[key], revision + 1, record, now))
            num_new, num_edited = num_new + (revision == 0), num_edited + (revision > 0)
    present = {assignments[key] for key in said}
    gone = [one for one, (_, record_id) in known.items() if is_complete and record_id and one not in present]
    rows += [_row(one, known[one][0] + 1, None, now) for one in gone]
    if rows:
        session.execute(insert(Judgement), rows)
    states = dict.fromkeys(gone, "lapsed") | {one: "done" for one in present if known.get(one, (0, "new"))[1] is None}
    if states:
        session.execute(update(Assignment), [{"id": one, "state": state} for one, state in states.items()])
    return Intake(num_new, num_edited, len(gone), len(said) - num_new - num_edited)


def _parts_before(session: Session, source: str) -> dict[tuple[str, str], list[Ranking | Rating]]:
    """The kinds and criteria that earlier imports of the source had, nothing in them yet."""
    batches = session.scalars(select(Batch).where(Batch.title == _title(source), Batch.labelers_per_prompt == 0))
    return {(batch.task["kind"], batch.criterion): [] for batch in batches}


def _title(source: str) -> str:
    return f"imported: {source}"


def _batch_of_source(session: Session, kind: str, criterion: str, source: str, now: datetime) -> str:
    batch_id = content_id("b", "import", kind, criterion, source)
    if session.get(Batch, batch_id) is None:
        task = RankingTask() if kind == "ranking" else ThumbsTask()
        session.add(
            Batch(
                id=batch_id,
                title=_title(source),
                criterion=criterion,
                task=task.model_dump(),
                labelers_per_prompt=0,
                lease_seconds=0,
                gold_every=2,
                created_at=now,
            )
        )
        session.flush()
    return batch_id


def _task_key(record: Ranking | Rating) -> TaskKey:
    if isinstance(record, Rating):
        return record.prompt_id, (record.completion_id,), ""
    return record.prompt_id, tuple(sorted(record.places)), record.session


def _labeler_ids(session: Session, feedback: Feedback, now: datetime) -> dict[str, int]:
    names = {one.labeler for one in feedback.rankings} | {one.labeler for one in feedback.ratings}
    known = set(session.scalars(select(Labeler.name)))
    fresh = [{"name": name, "is_overseer": False, "created_at": now} for name in sorted(names - known)]
    if fresh:
        session.execute(insert(Labeler), fresh)
    return {name: number for name, number in session.execute(select(Labeler.name, Labeler.id)).all()}


def _task_ids(session: Session, batch_id: str, keys: Sequence[TaskKey]) -> dict[TaskKey, int]:
    def known() -> dict[TaskKey, int]:
        rows = session.execute(
            select(Task.prompt_id, Task.completion_ids, Task.session, Task.id).where(Task.batch_id == batch_id)
        ).all()
        return {(prompt_id, tuple(names), of_session): number for prompt_id, names, of_session, number in rows}

    before = known()
    add_tasks(session, batch_id, [Shown(*key) for key in dict.fromkeys(keys) if key not in before])
    return known()


def _assignment_ids(
    session: Session, batch_id: str, said: dict[tuple[int, int], Ranking | Rating], now: datetime
) -> dict[tuple[int, int], int]:
    def known() -> dict[tuple[int, int], int]:
        rows = session.execute(
            select(Assignment.task_id, Assignment.labeler_id, Assignment.id).where(Assignment.batch_id == batch_id)
        ).all()
        return {(task_id, labeler_id): number for task_id, labeler_id, number in rows}

    before = known()
    fresh = [
        {
            "task_id": key[0],
            "batch_id": batch_id,
            "labeler_id": key[1],
            "shown_order": [],
            "state": "done",
            "given_at": now,
            "leased_until": now,
            "closed_at": now,
        }
        for key in said
        if key not in before
    ]
    if fresh:
        session.execute(insert(Assignment), fresh)
    return known()


def _newest_revisions(session: Session, batch_id: str) -> dict[int, tuple[int, str | None]]:
    """Assignment id -> (its newest revision, the record that makes)."""
    newest = (
        select(Judgement.assignment_id, func.max(Judgement.revision).label("revision"))
        .join(Assignment, Assignment.id == Judgement.assignment_id)
        .where(Assignment.batch_id == batch_id)
        .group_by(Judgement.assignment_id)
        .subquery()
    )
    rows = session.execute(
        select(Judgement.assignment_id, Judgement.revision, Judgement.record_id).join(
            newest,
            (newest.c.assignment_id == Judgement.assignment_id) & (newest.c.revision == Judgement.revision),
        )
    ).all()
    return {assignment: (revision, record_id) for assignment, revision, record_id in rows}


def _row(assignment_id: int, revision: int, record: Ranking | Rating | None, now: datetime) -> dict:
    """A judgement as the columns of its row; without a record it takes back."""
    is_ranking = isinstance(record, Ranking)
    return {
        "assignment_id": assignment_id,
        "revision": revision,
        "record_id": record.id if record else None,
        "levels": [list(level) for level in record.levels] if is_ranking else None,
        "unusable": dict.fromkeys(record.unusable, "") if is_ranking else None,
        "wanted": record.wanted if isinstance(record, Rating) else None,
        "degree": record.degree if is_ranking else None,
        "note": "",
        "submission": content_id("i", assignment_id, revision),
        "created_at": now,
    }
