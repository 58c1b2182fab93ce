"""The judgements of a batch that count, read in one query, and the rankings and ratings that they make."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session, aliased

from labeling.store.schema import Assignment, Judgement, Labeler, Task, Withdrawal
from labeling.store.steering import is_left_out
from models.degrees import Degree
from models.records import Ranking, Rating


class Counted(NamedTuple):
    """The last revision of an assignment, if it does not take back.

    `seconds` are those of the first revision; `shown` is empty where the order is not known (imports).
    """

    prompt_id: str
    gold_levels: list[list[str]] | None
    completion_ids: list[str]
    session: str
    judgement_id: int
    record_id: str
    labeler: str
    is_withdrawn: bool
    is_left_out: bool
    shown: list[str]
    levels: list[list[str]] | None
    unusable: dict[str, str] | None
    wanted: bool | None
    degree: Degree | None
    note: str
    seconds: float | None
    created_at: datetime

    @property
    def is_learned_from(self) -> bool:
        """Whether it is in snapshots: not of a gold prompt, and not by someone who withdrew or is left out."""
        return self.gold_levels is None and not self.is_withdrawn and not self.is_left_out

    @property
    def places(self) -> dict[str, int]:
        """Completion id -> place of a ranking."""
        return places_of(self.levels, self.unusable)


def places_of(levels: Sequence[Sequence[str]], unusable: Iterable[str]) -> dict[str, int]:
    """Completion id -> place: 1 is best, those tied share a place, unusable ones come last together."""
    places = {name: place for place, level in enumerate(levels, start=1) for name in level}
    return places | dict.fromkeys(unusable, len(levels) + 1)


def read_counted(session: Session, batch_id: str, prompt_ids: Sequence[str] | None = None) -> list[Counted]:
    """What counts of a batch, gold prompts and withdrawn labelers included, oldest first; of these prompts only, if named."""
    columns = Task.id, Task.prompt_id, Task.gold_levels, Task.completion_ids, Task.session
    tasks = select(*columns).where(Task.batch_id == batch_id)
    later, first = aliased(Judgement), aliased(Judgement)
    query = (
        select(
            Assignment.task_id,
            Judgement.id,
            Judgement.record_id,
            Labeler.name,
            Withdrawal.id.is_not(None),
            is_left_out(Task.batch_id, Labeler.id),
            cast(Assignment.shown_order, Text),
            cast(Judgement.levels, Text),
            cast(Judgement.unusable, Text),
            Judgement.wanted,
            Judgement.degree,
            Judgement.note,
            first.seconds,
            Judgement.created_at,
        )
        .join(Assignment, Assignment.id == Judgement.assignment_id)
        .join(Task, Task.id == Assignment.task_id)
        .join(Labeler, Labeler.id == Assignment.labeler_id)
        .outerjoin(Withdrawal, Withdrawal.labeler_id == Labeler.id)
        .join(first, (first.assignment_id == Judgement.assignment_id) & (first.revision == 1))
        .where(Task.batch_id == batch_id, Judgement.record_id.is_not(None))
        .where(
            ~select(later.id)
            .where(later.assignment_id == Judgement.assignment_id, later.revision > Judgement.revision)
            .exists()
        )
        .order_by(Judgement.id)
    )
    if prompt_ids is not None:
        tasks, query = (one.where(Task.prompt_id.in_(prompt_ids)) for one in (tasks, query))
    task = {number: about for number, *about in session.execute(tasks)}
    rows = session.execute(query).all()
    if not rows:
        return []
    task_ids, judgement_ids, records, labelers, withdrawn, left_out, shown, levels, unusable, *rest = zip(
        *rows, strict=True
    )
    parsed = (_parsed(shown), _parsed(levels), _parsed(unusable))
    said = (judgement_ids, records, labelers, withdrawn, left_out, *parsed, *rest)
    return [Counted(*task[number], *own) for number, *own in zip(task_ids, *said, strict=True)]


def rankings_of(counted: Iterable[Counted], criterion: str) -> list[Ranking]:
    """The rankings among what counts. Where a labeler ranked the same completions in several tasks, the newest one counts."""
    made = [(one.judgement_id, _ranking(one, criterion)) for one in counted if one.levels is not None]
    times = Counter((ranking.prompt_id, ranking.labeler) for _, ranking in made)
    repeated = [one for one in made if times[one[1].prompt_id, one[1].labeler] > 1]
    once = [ranking for _, ranking in made if times[ranking.prompt_id, ranking.labeler] == 1]
    return once + newest_of_each_set(repeated)


def ratings_of(counted: Iterable[Counted], criterion: str) -> list[Rating]:
    """The ratings among what counts; where a labeler rated a completion in several tasks, the newest one."""
    newest = {(one.labeler, one.completion_ids[0]): one for one in counted if one.wanted is not None}
    return [
        Rating.of(one.prompt_id, one.completion_ids[0], one.labeler, criterion, one.wanted) for one in newest.values()
    ]


def newest_of_each_set(rankings: Iterable[tuple[int, Ranking]]) -> list[Ranking]:
    """Of (judgement id, ranking): where one labeler ranked the same completions several times in a session, the newest alone."""
    return list(
        {
            (ranking.labeler, ranking.session, frozenset(ranking.places)): ranking
            for _, ranking in sorted(rankings, key=lambda one: one[0])
        }.values()
    )


def _parsed(texts: Iterable[str | None]) -> list:
    """A column of JSON, parsed in one go, which takes half the time of cell by cell."""
    return json.loads(f"[{','.join(text or 'null' for text in texts)}]")


def _ranking(one: Counted, criterion: str) -> Ranking:
    """Without checking it a second time, which would take a third of the time of reading: `judge` has let it in."""
    return Ranking.model_construct(
        id=one.record_id,
        prompt_id=one.prompt_id,
        labeler=one.labeler,
        criterion=criterion,
        levels=tuple(map(tuple, one.levels)),
        unusable=tuple(sorted(one.unusable)),
        session=one.session,
        degree=one.degree,
        shown=tuple(one.shown),
    )
