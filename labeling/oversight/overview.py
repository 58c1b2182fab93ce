"""What an overseer sees of a batch: how far it is, how well its labelers agree, and what each of them does."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from threading import Lock

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeling.feedback import rankings_of_ratings
from labeling.oversight.labeler_figures import LabelerFigures, labeler_figures
from labeling.oversight.labeler_pairs import (
    AgreementPoint,
    Disagreement,
    LabelerPairs,
    agreement_over_time,
    disagreements_of_ratings,
    values_of_rankings,
    values_of_ratings,
)
from labeling.store.counted import Counted, rankings_of, ratings_of, read_counted
from labeling.store.qualification import unqualified
from labeling.store.schema import Assignment, Batch, CompletionRow, Judgement, LeftOut, PromptRow, Task, Withdrawal
from labeling.store.steering import is_left_out
from models.conversation import transcript
from models.preferences.agreement_report import Agreement, of_ratings
from models.preferences.consensus import agree
from models.preferences.vote_table import VoteTable
from models.records import Consensus
from models.settings.pipeline import ConsensusConfig

ACTIVE_DAYS = 7
CACHED_BATCHES = 8


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is; without gold prompts and without what labelers said who withdrew or are left out.

    `num_wanted` judgements are asked for, None for an import; a prompt is done when all of its labelers have judged it.
    `num_active`: labelers who judged in the last 7 days.
    """

    batch: Batch
    num_prompts: int
    num_prompts_done: int
    num_judgements: int
    num_wanted: int | None
    num_labelers: int
    num_active: int
    last_at: datetime | None


@dataclass(frozen=True)
class Day:
    """A day (UTC) on which people judged, and how many of them. An edited judgement stands on the day of its last revision."""

    day: date
    num_judgements: int
    num_labelers: int


@dataclass(frozen=True)
class BatchFigures:
    """All figures of a batch that take longer to compute. `together`: how far labelers agree in all that counts now."""

    days: list[Day]
    together: Agreement
    agreement: list[AgreementPoint]
    labelers: list[LabelerFigures]
    disagreements: list[Disagreement]


@dataclass(frozen=True)
class SideBySide:
    """A disagreement as it is read: the prompt, its completions, and what each labeler said about them."""

    disagreement: Disagreement
    prompt: str
    completions: list[tuple[str, str]]
    opinions: list[Counted]
    num_extra: int
    """How many labelers are asked about it beyond those that the batch asks."""


def all_progress(session: Session, now: datetime) -> list[BatchProgress]:
    """The progress of every batch, the newest first."""
    batches = session.scalars(select(Batch).order_by(Batch.created_at.desc(), Batch.id))
    return [batch_progress(session, batch, now) for batch in batches]


def batch_progress(session: Session, batch: Batch, now: datetime) -> BatchProgress:
    """How far a batch is."""
    withdrawn = select(Withdrawal.labeler_id)
    counts = Assignment.labeler_id.not_in(withdrawn) & ~is_left_out(batch.id, Assignment.labeler_id)
    judged = (Assignment.state == "done") & counts
    of_batch = (Task.batch_id == batch.id) & Task.gold_levels.is_(None)
    asked = session.execute(
        select(Task.prompt_id, func.count(), func.sum(Task.extra_labelers)).where(of_batch).group_by(Task.prompt_id)
    ).all()
    wanted = {prompt: tasks * batch.labelers_per_prompt + extra for prompt, tasks, extra in asked}
    done = dict(
        session.execute(
            select(Task.prompt_id, func.count(Assignment.id))
            .join(Assignment, (Assignment.task_id == Task.id) & judged)
            .where(of_batch)
            .group_by(Task.prompt_id)
        ).all()
    )
    labelers = session.execute(
        select(Assignment.labeler_id, func.max(Assignment.closed_at))
        .join(Task, Task.id == Assignment.task_id)
        .where(of_batch, judged)
        .group_by(Assignment.labeler_id)
    ).all()
    last = [at for _, at in labelers]
    return BatchProgress(
        batch=batch,
        num_prompts=len(wanted),
        num_prompts_done=sum(done.get(prompt, 0) >= max(number, 1) for prompt, number in wanted.items()),
        num_judgements=sum(done.values()),
        num_wanted=sum(wanted.values()) or None,
        num_labelers=len(labelers),
        num_active=sum(at > now - timedelta(days=ACTIVE_DAYS) for at in last),
        last_at=max(last, default=None),
    )


def batch_figures(session: Session, batch: Batch) -> BatchFigures:
    """The figures of a batch. What withdrawn labelers said is in none of them but their own speed and gold accuracy."""
    counted = read_counted(session, batch.id)
    learned = [one for one in counted if one.is_learned_from]
    said_at = {(one.prompt_id, one.labeler): one.created_at for one in learned}
    ratings = ratings_of(learned, batch.criterion)
    rankings = rankings_of(learned, batch.criterion) + rankings_of_ratings(ratings)
    reports, pairs, agreement, disagreements = {}, None, [], []
    together = of_ratings(ratings)
    if rankings:
        _, report = agree(rankings, ConsensusConfig(), ratings)
        together = report if not ratings else together
        reports = {one.labeler: one for one in report.labelers}
        pairs = LabelerPairs(VoteTable(rankings))
    labelers = labeler_figures(counted, ratings, reports, unqualified(session, batch))
    if ratings:
        values, moments = values_of_ratings(ratings, said_at), [said_at[one.prompt_id, one.labeler] for one in ratings]
        agreement = agreement_over_time(values, pairs, said_at, moments)
        disagreements = disagreements_of_ratings(ratings)
    elif pairs is not None:
        values = values_of_rankings(pairs.votes, said_at)
        moments = [said_at[one.prompt_id, one.labeler] for one in rankings]
        agreement = agreement_over_time(values, pairs, said_at, moments)
        relied_on = {one.labeler for one in labelers if one.can_be_relied_on}
        disagreements = pairs.disagreements({name: one.reliability for name, one in reports.items()}, relied_on)
    return BatchFigures(_days(learned), together, agreement, labelers, disagreements)


def batch_consensus(session: Session, batch: Batch) -> list[Consensus]:
    """What the labelers of a batch agree on, prompt by prompt; empty where nothing was compared."""
    learned = [one for one in read_counted(session, batch.id) if one.is_learned_from]
    rankings = rankings_of(learned, batch.criterion) + rankings_of_ratings(ratings_of(learned, batch.criterion))
    return agree(rankings, ConsensusConfig())[0] if rankings else []


def side_by_side(session: Session, batch_id: str, disagreements: Sequence[Disagreement]) -> list[SideBySide]:
    """The texts behind disagreements, and everything that counts about them: first what the two said who contradict each other."""
    names = [one.prompt_id for one in disagreements]
    prompts = dict(session.execute(select(PromptRow.id, PromptRow.text).where(PromptRow.id.in_(names))).all())
    completions = session.execute(
        select(CompletionRow.prompt_id, CompletionRow.id, CompletionRow.text)
        .where(CompletionRow.prompt_id.in_(names))
        .order_by(CompletionRow.id)
    ).all()
    opinions = [one for one in read_counted(session, batch_id, names) if one.is_learned_from]
    extra = dict(
        session.execute(
            select(Task.prompt_id, func.max(Task.extra_labelers))
            .where(Task.batch_id == batch_id, Task.prompt_id.in_(names))
            .group_by(Task.prompt_id)
        ).all()
    )
    found = []
    for one in disagreements:
        own = [said for said in opinions if said.prompt_id == one.prompt_id]
        own.sort(key=lambda said: (said.labeler not in one.labelers, said.labeler))
        judged = {name for said in own for name in said.completion_ids}
        shown = [(name, text) for prompt_id, name, text in completions if prompt_id == one.prompt_id and name in judged]
        found.append(SideBySide(one, transcript(prompts[one.prompt_id]), shown, own, extra[one.prompt_id]))
    return found


class FigureCache:
    """The figures of the batches looked at last, computed again once there are more judgements or withdrawals, or others are left out."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, int, int, tuple[int, ...]], BatchFigures] = OrderedDict()
        self._lock = Lock()  # two who look at once share one computation

    def figures(self, session: Session, batch: Batch) -> BatchFigures:
        """The figures of a batch as they are now."""
        num_judgements = session.scalar(
            select(func.count(Judgement.id))
            .join(Assignment, Assignment.id == Judgement.assignment_id)
            .join(Task, Task.id == Assignment.task_id)
            .where(Task.batch_id == batch.id)
        )
        num_withdrawals = session.scalar(select(func.count(Withdrawal.id)))
        left_out = select(LeftOut.labeler_id).where(LeftOut.batch_id == batch.id).order_by(LeftOut.labeler_id)
        key = (batch.id, num_judgements, num_withdrawals, tuple(session.scalars(left_out)))
        with self._lock:
            if key not in self._found:
                for old in [one for one in self._found if one[0] == batch.id]:
                    del self._found[old]
                self._found[key] = batch_figures(session, batch)
            self._found.move_to_end(key)
            while len(self._found) > CACHED_BATCHES:
                self._found.popitem(last=False)
            return self._found[key]


def _days(learned: Sequence[Counted]) -> list[Day]:
    labelers: dict[date, list[str]] = {}
    for one in learned:
        labelers.setdefault(one.created_at.date(), []).append(one.labeler)
    return [Day(day, len(names), len(set(names))) for day, names in sorted(labelers.items())]
