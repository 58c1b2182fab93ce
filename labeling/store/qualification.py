"""Qualification: before the tasks of a batch a labeler puts prompts in order whose order is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeling.store.counted import places_of
from labeling.store.schema import Assignment, Batch, Judgement, Labeler, Task
from models.settings.batch import Qualification


@dataclass(frozen=True)
class Trial:
    """How far a labeler is with the qualification tasks of a batch: `num_done` of `num_tasks` (0: the batch has none).

    `agreement`: of the pairs of completions in them whose known order is strict, the share that the labeler's first answers order so; a tie
    counts half, and all pairs of a skipped task are wrong. None while tasks are to be done.
    """

    num_done: int = 0
    num_tasks: int = 0
    min_agreement: float = 0.0
    agreement: float | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether the next task is one to qualify by."""
        return self.num_done < self.num_tasks

    @property
    def is_failed(self) -> bool:
        """Whether the labeler is given no tasks of this batch."""
        return self.agreement is not None and self.agreement < self.min_agreement


def trial_of(session: Session, batch: Batch, labeler_id: int) -> Trial:
    """How far a labeler is with the qualification of a batch."""
    if batch.qualification is None:
        return Trial()
    asked = Qualification.model_validate(batch.qualification)
    closed = session.execute(
        select(Task.gold_levels, Judgement.levels, Judgement.unusable)
        .join(Assignment, Assignment.task_id == Task.id)
        .outerjoin(Judgement, (Judgement.assignment_id == Assignment.id) & (Judgement.revision == 1))
        .where(Task.batch_id == batch.id, Task.gold_levels.is_not(None), Assignment.labeler_id == labeler_id)
        .where(Assignment.state.in_(["done", "skipped"]))
        .order_by(Assignment.id)
        .limit(asked.num_tasks)
    ).all()
    if len(closed) < asked.num_tasks:
        return Trial(len(closed), asked.num_tasks, asked.min_agreement)
    counts = [
        pairs_in_order(known, {} if levels is None else places_of(levels, unusable or {}))
        for known, levels, unusable in closed
    ]
    right, num_pairs = (sum(column) for column in zip(*counts, strict=True))
    return Trial(len(closed), asked.num_tasks, asked.min_agreement, right / num_pairs if num_pairs else 1.0)


def unqualified(session: Session, batch: Batch) -> set[str]:
    """The names of those who did not qualify for a batch."""
    if batch.qualification is None:
        return set()
    given = select(Labeler.id, Labeler.name).join(Assignment).where(Assignment.batch_id == batch.id).distinct()
    return {name for labeler, name in session.execute(given) if trial_of(session, batch, labeler).is_failed}


def pairs_in_order(known: Sequence[Sequence[str]], places: Mapping[str, int]) -> tuple[float, int]:
    """(how many, of how many) pairs stand in the known order, given best first; a tie where one is better counts half.

    Pairs that are tied in the known order say nothing. Without any places, as of a task that was skipped, no pair is right.
    """
    right, num_pairs = 0.0, 0
    for better, worse in combinations(known, 2):
        for first in better:
            for second in worse:
                num_pairs += 1
                if places:
                    right += 1.0 if places[first] < places[second] else 0.5 * (places[first] == places[second])
    return right, num_pairs
