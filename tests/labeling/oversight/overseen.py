"""Batches to oversee: short words for what people say in them, and for the figures that come of it."""

from datetime import timedelta

from labeling.oversight import overview
from labeling.oversight.labeler_figures import LabelerFigures
from labeling.store.batches import GoldPrompt
from labeling.store.database import FeedbackStore
from labeling.store.schema import Batch, CompletionRow
from models.settings.batch import BatchConfig
from tests.labeling.people import NOW, People, gold_prompt

THREE = BatchConfig(labelers_per_prompt=3)
DAY = 24 * 60  # minutes
SHOWN = "order shown"


def says(people: People, name: str, order: list[list[int]] | str, minutes: float = 1, unusable=(), **more):
    """`name` is given a task and, `minutes` later, puts its completions in this order (their numbers, best level first)."""
    given = people.given(name)
    people.minutes += minutes
    names = [one for one, _ in given.completions]
    if order == SHOWN:
        levels, marked = [[one] for one in names], {}
    else:
        with people.store.read() as session:
            texts = {one: session.get_one(CompletionRow, one).text for one in names}
        number = {int(text.split()[1].rstrip(".")): one for one, text in texts.items()}  # "Advice 2."
        levels, marked = [[number[n] for n in level] for level in order], {number[n]: "wrong" for n in unusable}
    people.says(name, given, levels, marked, **more)
    return given


def figures(people: People) -> overview.BatchFigures:
    with people.store.read() as session:
        return overview.batch_figures(session, session.get_one(Batch, people.batch_id))


def of(people: People, name: str) -> LabelerFigures:
    return next(one for one in figures(people).labelers if one.labeler == name)


def progress(people: People, days: float = 0) -> overview.BatchProgress:
    with people.store.read() as session:
        batch = session.get_one(Batch, people.batch_id)
        return overview.batch_progress(session, batch, NOW + timedelta(days=days))


def gold(levels: list[list[int]]) -> GoldPrompt:
    return gold_prompt("Known?", [[f"Known {number}." for number in level] for level in levels])


def a_week(store: FeedbackStore) -> People:
    """Three labelers on four prompts over three days: all alike on the first; then bob ties much and cleo is upside down."""
    people = People(store, THREE)
    alike, a_b_c = [[1], [0], [2]], [[0], [1], [2]]
    said = {
        "ann": [alike, a_b_c, a_b_c, a_b_c],
        "bob": [alike, [[0, 1, 2]], [[0], [1, 2]], [[0], [1, 2]]],
        "cleo": [alike, [[2], [1], [0]], [[2], [1], [0]], [[2], [1], [0]]],
    }
    for start, (name, orders) in zip((0, 10, 20), said.items(), strict=True):
        people.minutes = start
        for n, order in enumerate(orders):
            says(people, name, order)
            people.minutes += DAY if n in (1, 2) else 0
    return people
