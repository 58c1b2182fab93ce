"""A small batch, three labelers, and short words for what they do."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from labeling.store import accounts
from labeling.store.assignments import next_task
from labeling.store.batches import GoldPrompt, publish
from labeling.store.database import FeedbackStore
from labeling.store.judgements import Answer, judge, last_submission, reopen, skip
from labeling.store.schema import Batch, Labeler
from models.records import Completion, Prompt, Ranking
from models.settings.batch import BatchConfig

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PROMPTS = [Prompt.of(f"Problem {n}?", "train") for n in range(4)]
COMPLETIONS = [Completion.of(one.id, f"Advice {index}.") for one in PROMPTS for index in range(3)]
CONFIG = BatchConfig(labelers_per_prompt=2, lease_minutes=10)


def gold_prompt(text: str, levels: Sequence[Sequence[str]]) -> GoldPrompt:
    """A prompt, and texts of completions in their known order, best first."""
    prompt = Prompt.of(text, "train")
    ids = [[Completion.of(prompt.id, one) for one in level] for level in levels]
    order = Ranking.of(prompt.id, "expert", "helpfulness", [[one.id for one in level] for level in ids])
    return GoldPrompt(prompt, [one for level in ids for one in level], order)


class People:
    """A store with one batch and three labelers, and short words for what they do."""

    def __init__(self, store: FeedbackStore, config: BatchConfig = CONFIG, gold=()):
        self.store, self.minutes, self.number = store, 0, 0
        with store.write() as session:
            for name in ("ann", "bob", "cleo"):
                accounts.add_labeler(session, name, False, NOW)
            self.batch_id = publish(session, config, "first", "Judge.", PROMPTS, COMPLETIONS, gold, NOW)
            self.ids = dict(session.execute(select(Labeler.name, Labeler.id)).all())

    @property
    def now(self) -> datetime:
        return NOW + timedelta(minutes=self.minutes)

    def given(self, name: str):
        with self.store.write() as session:
            return next_task(session, session.get_one(Batch, self.batch_id), self.ids[name], self.now)

    def says(self, name: str, given, levels=None, unusable=None, submission=None, **more):
        self.number += 1
        levels = levels if levels is not None or "wanted" in more else [[one] for one, _ in given.completions]
        answer = Answer(submission or f"s{self.number}", tuple(map(tuple, levels or ())), unusable or {}, **more)
        with self.store.write() as session:
            return judge(session, given.assignment_id, self.ids[name], answer, self.now)

    def judges(self, name: str, **more):
        given = self.given(name)
        self.says(name, given, **more)
        return given

    def skips(self, name: str, submission: str | None = None):
        self.number += 1
        given = self.given(name)
        with self.store.write() as session:
            skip(session, given.assignment_id, self.ids[name], submission or f"k{self.number}", self.now)
        return given

    def last(self, name: str) -> str | None:
        with self.store.read() as session:
            return last_submission(session, self.batch_id, self.ids[name])

    def reopens(self, name: str, submission: str | None = None):
        """What this submission said or skipped; without one, the last."""
        with self.store.write() as session:
            named = submission or last_submission(session, self.batch_id, self.ids[name])
            batch = session.get_one(Batch, self.batch_id)
            return None if named is None else reopen(session, batch, self.ids[name], named, self.now)

    def takes_back(self, name: str):
        """What they judged last, which is skipped with it."""
        self.number += 1
        with self.store.write() as session:
            named = last_submission(session, self.batch_id, self.ids[name])
            opened = reopen(session, session.get_one(Batch, self.batch_id), self.ids[name], named, self.now)
            skip(session, opened.id, self.ids[name], f"k{self.number}", self.now, takes_back=named)
        return opened

    def rows(self, table):
        with self.store.read() as session:
            return list(session.scalars(select(table).order_by(table.id)))
