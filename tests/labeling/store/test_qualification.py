"""Who puts gold tasks in order is given the others; who does not, or skips them, is given none."""

import pytest

from labeling.oversight.overview import batch_figures
from labeling.store.assignments import progress
from labeling.store.qualification import Trial, pairs_in_order, trial_of
from labeling.store.schema import Batch
from models.errors import DataError
from models.settings.batch import BatchConfig, Qualification
from tests.labeling.people import CONFIG, People, gold_prompt

GOLD = [gold_prompt(f"Known {n}?", [["Best."], ["Middling.", "As good."], ["Worst."]]) for n in range(3)]
TRIED = CONFIG.model_copy(update={"qualification": Qualification(num_tasks=2, min_agreement=0.75), "gold_every": 3})


@pytest.fixture
def people(store) -> People:
    return People(store, TRIED, GOLD)


def known(given) -> list[list[str]]:
    """The known order of what is shown."""
    (order,) = (one.order.levels for one in GOLD if one.prompt.text == given.prompt)
    return [list(level) for level in order]


def trial(people: People, name: str) -> Trial:
    with people.store.read() as session:
        return trial_of(session, session.get_one(Batch, people.batch_id), people.ids[name])


def left(people: People, name: str) -> int:
    with people.store.read() as session:
        return progress(session, session.get_one(Batch, people.batch_id), people.ids[name], people.now).num_left


def test_gold_tasks_come_first_and_those_who_order_them_go_on(people):
    for done in range(2):
        assert trial(people, "ann") == Trial(done, 2, 0.75)
        given = people.given("ann")
        assert given.prompt == f"Known {done}?"
        people.says("ann", given, known(given))
    assert trial(people, "ann") == Trial(2, 2, 0.75, 1.0)
    assert not trial(people, "ann").is_failed and left(people, "ann") == 4
    assert [people.judges("ann").prompt for _ in range(3)] == ["Problem 0?", "Problem 1?", "Known 2?"], "as ever"


def test_those_who_order_them_otherwise_are_given_no_more(people):
    for _ in range(2):
        given = people.given("bob")
        people.says("bob", given, known(given)[::-1])
    assert trial(people, "bob").agreement == 0.0 and trial(people, "bob").is_failed
    assert people.given("bob") is None and left(people, "bob") == 0
    with people.store.read() as session:
        (figures,) = batch_figures(session, session.get_one(Batch, people.batch_id)).labelers
    assert (figures.labeler, figures.is_unqualified, figures.num_judgements) == ("bob", True, 0)
    assert people.given("ann").prompt == "Known 0?", "others begin as they did"


def test_the_first_answer_counts_and_no_second_thought(people):
    for _ in range(2):
        given = people.given("bob")
        people.says("bob", given, known(given)[::-1])
        people.reopens("bob")
        people.says("bob", given, known(given))
    assert trial(people, "bob").agreement == 0.0


def test_a_skipped_task_is_as_good_as_a_wrong_one(people):
    people.skips("ann")
    given = people.given("ann")
    people.says("ann", given, known(given))
    assert trial(people, "ann").agreement == 0.5 and people.given("ann") is None


def test_pairs_in_order_by_hand():
    order = [["a"], ["b", "c"], ["d"]]  # ab ac ad bd cd
    assert pairs_in_order(order, {"a": 1, "b": 2, "c": 2, "d": 3}) == (5.0, 5)
    assert pairs_in_order(order, {"a": 1, "b": 1, "c": 2, "d": 2}) == (3.0 + 2 * 0.5, 5)
    assert pairs_in_order(order, {}) == (0.0, 5)
    assert pairs_in_order([["a", "b"]], {"a": 1, "b": 2}) == (0.0, 0)


def test_more_tasks_than_there_are_gold_prompts_is_refused(store):
    asked = CONFIG.model_copy(update={"qualification": Qualification(num_tasks=4)})
    with pytest.raises(DataError, match=r"asks for 4 tasks, but batch\.gold has 3 prompts"):
        People(store, asked, GOLD)


def test_qualification_without_gold_prompts_is_refused():
    with pytest.raises(ValueError, match=r"name their file as batch\.gold"):
        BatchConfig(qualification=Qualification())
