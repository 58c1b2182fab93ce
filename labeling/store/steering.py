"""What an overseer changes while a batch runs: more labelers for a prompt, a labeler left out. Both can be taken back, nothing said is lost."""

from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from labeling.store.accounts import find_labeler
from labeling.store.schema import Batch, LeftOut, Task
from models.errors import DataError

MOST_EXTRA_LABELERS = 20


def ask_more(session: Session, batch: Batch, prompt_id: str, num_extra: int) -> None:
    """Lets this many labelers more than the batch asks judge a prompt; saying the same again changes nothing.

    Raises DataError for an imported batch, for a prompt that is not in it, and for more than 20.
    """
    if not 0 <= num_extra <= MOST_EXTRA_LABELERS:
        raise DataError(f"num_extra: expected 0 to {MOST_EXTRA_LABELERS}, found {num_extra}")
    of_prompt = (Task.batch_id == batch.id, Task.prompt_id == prompt_id, Task.gold_levels.is_(None))
    tasks = session.scalars(select(Task.id).where(*of_prompt)).all()
    if batch.labelers_per_prompt == 0 or not tasks:
        raise DataError(f"prompt {prompt_id}: batch {batch.id} asks nobody about it")
    session.execute(update(Task).where(Task.id.in_(tasks)).values(extra_labelers=num_extra))


def leave_out(session: Session, batch: Batch, name: str, now: datetime) -> None:
    """Has nothing that a labeler says in a batch count, before and after: they are given no more of it, and their places go to others.

    Doing it again changes nothing. Raises DataError for an unknown labeler.
    """
    labeler = find_labeler(session, name)
    if session.get(LeftOut, (batch.id, labeler.id)) is None:
        session.add(LeftOut(batch_id=batch.id, labeler_id=labeler.id, created_at=now))


def count_again(session: Session, batch: Batch, name: str) -> None:
    """Takes `leave_out` back. Raises DataError for an unknown labeler."""
    labeler = find_labeler(session, name)
    session.execute(delete(LeftOut).where(LeftOut.batch_id == batch.id, LeftOut.labeler_id == labeler.id))


def is_left_out(
    batch_id: str | InstrumentedAttribute[str], labeler_id: int | InstrumentedAttribute[int]
) -> ColumnElement[bool]:
    """Condition: the labeler is left out of the batch."""
    return exists(select(LeftOut.batch_id).where(LeftOut.batch_id == batch_id, LeftOut.labeler_id == labeler_id))
