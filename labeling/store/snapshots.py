"""Snapshots: what a run learns from, the same records and the same digest on every database."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NoReturn

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.feedback import Feedback, in_order, rankings_of_ratings
from labeling.store.counted import newest_of_each_set, rankings_of, ratings_of, read_counted
from labeling.store.schema import (
    Assignment,
    Batch,
    CompletionRow,
    CompletionSystem,
    Judgement,
    Labeler,
    PromptRow,
    Snapshot,
    SnapshotLabeler,
    Withdrawal,
)
from models.errors import DataError
from models.records import Authorship, Completion, Prompt, Ranking, Rating, Record


def take_snapshot(session: Session, criterion: str, batches: Sequence[str] = ()) -> Feedback:
    """All rankings and ratings by a criterion that count now, with their prompts and completions, in a fixed order.

    Of an assignment's revisions the last counts, if it does not take back; what withdrawn labelers said, what those said who are left out of their batch, and gold prompts are
    not in it, and so are the votes of head-to-heads. Where a labeler ranked the same completions in several tasks, the newest one counts.
    Ratings also make rankings (`rankings_of_ratings`). `batches`: only these; empty = all. Raises DataError for an unknown batch and for
    a head-to-head among them, and where no judgement is left.
    """
    _require_to_learn_from(session, batches)
    wanted = select(Batch.id).where(Batch.criterion == criterion, Batch.is_learned_from).order_by(Batch.id)
    chosen = [one for one in session.scalars(wanted) if not batches or one in batches]
    said = [one for batch in chosen for one in read_counted(session, batch) if one.is_learned_from]
    said.sort(key=lambda one: one.judgement_id)
    rated = ratings_of(said, criterion)
    rankings = rankings_of(said, criterion)
    if rated:
        derived = [(0, one) for one in rankings_of_ratings(rated)]  # what somebody ranked outright goes before
        rankings = newest_of_each_set([*((1, one) for one in rankings), *derived])
    if not rankings and not rated:
        _refuse_nothing(session, criterion, batches)
    return _with_texts(session, rankings, rated)


def require_judgements(session: Session, criterion: str, batches: Sequence[str] = ()) -> None:
    """Raises DataError as `take_snapshot` does where nobody has said anything yet, without reading what was said."""
    _require_to_learn_from(session, batches)
    said = select(Judgement.id).join(Assignment).join(Batch).where(Batch.criterion == criterion, Batch.is_learned_from)
    if batches:
        said = said.where(Batch.id.in_(batches))
    if session.scalar(said.limit(1)) is None:
        _refuse_nothing(session, criterion, batches)


def _refuse_nothing(session: Session, criterion: str, batches: Sequence[str]) -> NoReturn:
    of = f" of batch {', '.join(batches)}" if batches else ""
    judged = select(Batch.criterion).join(Assignment).join(Judgement).where(Batch.is_learned_from)
    others = sorted(set(session.scalars(judged.distinct())) - {criterion})
    hint = f"; there are some by {', '.join(map(repr, others))} (labels.criterion)" if others else ""
    raise DataError(f"the feedback store holds no judgement by {criterion!r}{of}: has anybody labelled yet?{hint}")


def take_votes(session: Session, batch_id: str) -> Feedback:
    """The votes of a head-to-head that count now, by the same rules, with what they are about. There may be none yet."""
    criterion = session.get_one(Batch, batch_id).criterion
    said = [one for one in read_counted(session, batch_id) if one.is_learned_from]
    return _with_texts(session, rankings_of(said, criterion), [])


def _require_to_learn_from(session: Session, batches: Sequence[str]) -> None:
    known = dict(session.execute(select(Batch.id, Batch.is_learned_from)).all())
    if unknown := sorted(set(batches) - known.keys()):
        raise DataError(f"labels.batches: the feedback store has no batch {', '.join(unknown)}")
    if judging := sorted(one for one in set(batches) if not known[one]):
        raise DataError(
            f"labels.batches: {', '.join(judging)} is a head-to-head: its votes judge what was learned, and nothing learns from them"
        )


def _with_texts(session: Session, rankings: list[Ranking], rated: list[Rating]) -> Feedback:
    prompt_ids = {one.prompt_id for one in rankings} | {one.prompt_id for one in rated}
    completions = _completions(session, prompt_ids, _named(rankings, rated))
    systems = _systems(session, {one.id for one in completions})
    return in_order(Feedback(_prompts(session, prompt_ids), completions, rankings, rated, systems))


def last_judgement(session: Session) -> int:
    """The id of the newest judgement. Read before a snapshot, in its transaction, it is the last that the snapshot surely saw."""
    return session.scalar(select(func.max(Judgement.id))) or 0


def note_snapshot(
    session: Session, feedback: Feedback, sha256: str, criterion: str, last_judgement_id: int, now: datetime
) -> None:
    """Records that a run learns from this snapshot. Doing it again moves its last judgement on, and changes nothing else."""
    noted = session.get(Snapshot, sha256)
    if noted is not None:  # what came since then changed nothing in it, a ranking taken back for example
        noted.last_judgement_id = max(noted.last_judgement_id, last_judgement_id)
        return
    session.add(
        Snapshot(
            sha256=sha256,
            criterion=criterion,
            last_judgement_id=last_judgement_id,
            num_rankings=len(feedback.rankings),
            num_ratings=len(feedback.ratings),
            created_at=now,
        )
    )
    session.flush()
    names = {one.labeler for one in feedback.rankings} | {one.labeler for one in feedback.ratings}
    known = session.execute(select(Labeler.id, Labeler.name)).all()
    session.add_all(SnapshotLabeler(sha256=sha256, labeler_id=number) for number, name in known if name in names)


def snapshots_with(session: Session, labeler_id: int) -> list[Snapshot]:
    """The snapshots that hold something this labeler said, oldest first."""
    return list(
        session.scalars(
            select(Snapshot)
            .join(SnapshotLabeler, SnapshotLabeler.sha256 == Snapshot.sha256)
            .where(SnapshotLabeler.labeler_id == labeler_id)
            .order_by(Snapshot.created_at, Snapshot.sha256)
        )
    )


def withdrawals(session: Session) -> dict[str, datetime]:
    """Who has withdrawn, and when."""
    marked = select(Labeler.name, Withdrawal.created_at).join(Withdrawal, Withdrawal.labeler_id == Labeler.id)
    return {name: at for name, at in session.execute(marked)}


def _named(rankings: Iterable[Ranking], ratings: Iterable[Rating]) -> set[str]:
    return {name for one in rankings for name in one.places} | {one.completion_id for one in ratings}


def _prompts(session: Session, wanted: set[str]) -> list[Prompt]:
    return [_record(Prompt, row) for row in session.scalars(select(PromptRow)) if row.id in wanted]


def _completions(session: Session, prompt_ids: set[str], named: set[str]) -> list[Completion]:
    rows = [row for row in session.scalars(select(CompletionRow)) if row.prompt_id in prompt_ids and row.id in named]
    return [_record(Completion, row) for row in rows]


def _systems(session: Session, completion_ids: set[str]) -> list[Authorship]:
    rows = session.scalars(select(CompletionSystem))
    return [
        Authorship(completion_id=row.completion_id, system=row.system)
        for row in rows
        if row.completion_id in completion_ids
    ]


def _record(record: type[Record], row: PromptRow | CompletionRow) -> Record:
    return record(**{field: getattr(row, field) for field in record.model_fields})
