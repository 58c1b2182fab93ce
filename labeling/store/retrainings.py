"""What is new since the last retraining, how retrainings ended, and who was champion when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from labeling.store.schema import Assignment, Batch, Judgement, Promotion, Retraining, Snapshot, Task, Withdrawal
from labeling.store.snapshots import last_judgement
from labeling.store.steering import is_left_out

DECIDED = ("promoted", "kept")


@dataclass(frozen=True)
class News:
    """Judgements that no retraining has seen: `since_finished` the last one that came to a decision, `since_started` the last
    one at all, also one that was cancelled before it began; the retraining that runs or was killed; the id of the newest judgement."""

    since_finished: int
    since_started: int
    unfinished: Retraining | None
    last_judgement: int


def read_news(
    session: Session, policy_name: str, criterion: str, batches: Sequence[str] = (), last_cancelled: int = 0
) -> News:
    """What there is to learn from that the champion, and the challengers that it has been compared with, have not seen.

    `last_cancelled`: the newest judgement that a retraining was to learn from which was cancelled before it began.
    """
    own = select(Retraining).where(Retraining.policy_name == policy_name).order_by(Retraining.id.desc())
    last = session.scalar(own.limit(1))
    decided = session.scalar(own.where(Retraining.outcome.in_(DECIDED)).limit(1))
    champion = last_promotion(session, policy_name)
    seen = watermark(session, champion.snapshot_sha256 if champion else None)
    finished = max(seen, watermark(session, decided.snapshot_sha256 if decided else None))
    started = max(finished, watermark(session, last.snapshot_sha256 if last else None), last_cancelled)
    return News(
        since_finished=num_judgements_after(session, finished, criterion, batches),
        since_started=num_judgements_after(session, started, criterion, batches),
        unfinished=last if last is not None and last.outcome is None else None,
        last_judgement=last_judgement(session),
    )


def watermark(session: Session, snapshot_sha256: str | None) -> int:
    """The id of the last judgement that a snapshot could see; 0 for no snapshot.

    On PostgreSQL a judgement with a lower id can be committed a moment after the snapshot was taken. It is then learned from
    the next time, and not counted towards it.
    """
    snapshot = session.get(Snapshot, snapshot_sha256) if snapshot_sha256 else None
    return snapshot.last_judgement_id if snapshot else 0


def num_judgements_after(session: Session, judgement_id: int, criterion: str, batches: Sequence[str] = ()) -> int:
    """How many assignments were judged, or judged anew, after this judgement and would be learned from.

    Of an assignment the last revision counts, if it does not take back; gold prompts, head-to-heads, withdrawn labelers and those who are left out do not count.
    """
    later = aliased(Judgement)
    query = (
        select(func.count())
        .select_from(Judgement)
        .join(Assignment, Assignment.id == Judgement.assignment_id)
        .join(Task, Task.id == Assignment.task_id)
        .join(Batch, Batch.id == Task.batch_id)
        .outerjoin(Withdrawal, Withdrawal.labeler_id == Assignment.labeler_id)
        .where(Judgement.id > judgement_id, Judgement.record_id.is_not(None))
        .where(Batch.criterion == criterion, Batch.is_learned_from)
        .where(Task.gold_levels.is_(None), Withdrawal.id.is_(None))
        .where(~is_left_out(Assignment.batch_id, Assignment.labeler_id))
        .where(
            ~select(later.id)
            .where(later.assignment_id == Judgement.assignment_id, later.revision > Judgement.revision)
            .exists()
        )
    )
    return session.scalar(query.where(Batch.id.in_(batches)) if batches else query)


def begin_retraining(
    session: Session, policy_name: str, snapshot_sha256: str, flow_run_id: str, now: datetime
) -> Retraining:
    """Records that a flow run learns from a snapshot. A killed run that is started again goes on in the same row."""
    same = (
        select(Retraining)
        .where(Retraining.policy_name == policy_name, Retraining.snapshot_sha256 == snapshot_sha256)
        .where(Retraining.outcome.is_(None))
    )
    retraining = session.scalar(same.limit(1))
    if retraining is None:
        retraining = Retraining(
            policy_name=policy_name, snapshot_sha256=snapshot_sha256, outcome=None, reason="", started_at=now
        )
        session.add(retraining)
    retraining.flow_run_id = flow_run_id
    session.flush()
    return retraining


def end_retraining(session: Session, number: int, outcome: str, reason: str, now: datetime) -> None:
    """Records how a retraining ended; a decision that another run has come to on the same snapshot stays."""
    retraining = session.get_one(Retraining, number)
    if retraining.outcome in DECIDED:
        return
    retraining.outcome, retraining.reason, retraining.ended_at = outcome, reason, now


def last_promotion(session: Session, policy_name: str) -> Promotion | None:
    """The last move of the champion."""
    own = select(Promotion).where(Promotion.policy_name == policy_name)
    return session.scalar(own.order_by(Promotion.id.desc()).limit(1))


def read_promotions(session: Session, policy_name: str) -> list[Promotion]:
    """Every move of the champion, the first one first."""
    return list(session.scalars(select(Promotion).where(Promotion.policy_name == policy_name).order_by(Promotion.id)))


def num_looks(session: Session, policy_name: str) -> int:
    """How many challengers have met the champion, those of retrainings that have not ended included.

    Retrainings that ended as `kept` count, if they knew at least what the champion has learned from. After a roll-back that includes those
    that this champion had met before, and some that it had not: it may be too many, never too few.
    """
    champion = last_promotion(session, policy_name)
    seen = watermark(session, champion.snapshot_sha256 if champion else None)
    met = and_(Retraining.outcome == "kept", Snapshot.last_judgement_id >= seen)
    query = select(func.count()).select_from(Retraining).join(Snapshot, Snapshot.sha256 == Retraining.snapshot_sha256)
    return session.scalar(query.where(Retraining.policy_name == policy_name, or_(met, Retraining.outcome.is_(None))))


def champion_before(session: Session, policy_name: str) -> Promotion | None:
    """The move that a rollback leads back to: the one before the last promotion that was not taken back; None without one."""
    champions: list[Promotion] = []
    for move in read_promotions(session, policy_name):
        if move.is_rollback:
            champions.pop()
        else:
            champions.append(move)
    return champions[-2] if len(champions) > 1 else None


def note_promotion(session: Session, promotion: Promotion, after: int | None) -> bool:
    """Records a move of the champion, if the last one is still `after` (its id; None: there was none); else gives back False.

    A snapshot that this store does not know is left out.
    """
    if session.get_bind().dialect.name == "postgresql":  # SQLite's writers take turns anyway
        session.execute(text("LOCK TABLE promotions IN SHARE ROW EXCLUSIVE MODE"))
    last = last_promotion(session, promotion.policy_name)
    if (last.id if last else None) != after:
        return False
    if promotion.snapshot_sha256 and session.get(Snapshot, promotion.snapshot_sha256) is None:
        promotion.snapshot_sha256 = None
    session.add(promotion)
    session.flush()
    return True
