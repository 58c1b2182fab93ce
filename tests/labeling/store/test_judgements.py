"""What labelers say is kept, every revision of it, and only their own."""

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from labeling.store.assignments import as_shown
from labeling.store.batches import mark_instructions_read, publish
from labeling.store.judgements import NotYours, last_submission, skip
from labeling.store.schema import Assignment, Judgement
from labeling.store.snapshots import take_snapshot
from models.errors import DataError
from models.records import Ranking
from models.settings.batch import BatchConfig, ChoiceTask, ThumbsTask
from tests.labeling.people import COMPLETIONS, CONFIG, NOW, PROMPTS, People


def test_a_judgement_keeps_what_was_said(people):
    with people.store.write() as session:
        mark_instructions_read(session, people.ids["ann"], people.batch_id, 1, NOW)
    given = people.given("ann")
    people.minutes = 2
    with people.store.write() as session:  # version 2, which ann has not seen
        publish(session, CONFIG, "first", "Judge better.", PROMPTS, COMPLETIONS, (), NOW)
    (a, _), (b, _), (c, _) = given.completions
    people.says("ann", given, [[c, a]], {b: "off topic"}, note="b is about a car")
    [row] = people.rows(Judgement)
    assert row.levels == [sorted([a, c])]
    assert (row.unusable, row.note, row.seconds, row.instructions_version) == (
        {b: "off topic"},
        "b is about a car",
        120,
        1,
    )
    assert row.record_id == Ranking.of(PROMPTS[0].id, "ann", "helpfulness", [sorted([a, c])], [b]).id
    assert row.created_at == people.now


def test_by_how_much_is_kept_where_it_is_asked(store):
    people = People(store, CONFIG.model_copy(update={"task": ChoiceTask(degrees=True)}))
    given = people.given("ann")
    (a, _), (b, _) = given.completions
    for levels, unusable, degree in (
        ([[a], [b]], {}, None),
        ([[a, b]], {}, "better"),
        ([[a]], {b: "wrong"}, "better"),
    ):
        with pytest.raises(
            DataError, match="degree: where one of two is better, and the task asks by how much, one of sig"
        ):
            people.says("ann", given, levels, unusable, degree=degree)
    people.says("ann", given, [[b], [a]], degree="slightly_better")
    people.says("bob", people.given("bob"), [[a, b]])
    ann, bob = people.rows(Judgement)
    assert (ann.degree, bob.degree) == ("slightly_better", None)
    said = Ranking.of(PROMPTS[0].id, "ann", "helpfulness", [[b], [a]], degree="slightly_better")
    assert ann.record_id == said.id
    with store.read() as session:
        assert [one.degree for one in take_snapshot(session, "helpfulness").rankings] == ["slightly_better", None]
        assert said.id in [one.id for one in take_snapshot(session, "helpfulness").rankings]


def test_nobody_says_by_how_much_unasked(store):
    people = People(store, CONFIG.model_copy(update={"task": ChoiceTask()}))
    with pytest.raises(DataError, match=r"; else none"):
        people.judges("ann", degree="better")


def test_the_same_submission_twice_is_stored_once(people):
    given = people.given("ann")
    first = people.says("ann", given, submission="same")
    assert people.says("ann", given, submission="same").id == first.id
    with pytest.raises(DataError, match="was used for another answer"):
        people.says("ann", given, [[name for name, _ in given.completions]], submission="same")
    assert len(people.rows(Judgement)) == 1


def test_an_edit_is_a_further_revision(people):
    given = people.judges("ann")
    people.says("ann", given, [[name for name, _ in given.completions]])
    assert [(row.revision, len(row.levels)) for row in people.rows(Judgement)] == [(1, 3), (2, 1)]


def test_what_was_judged_last_is_opened_again_and_counts_until_the_next_answer(people):
    first, second = people.judges("ann"), people.judges("ann")
    assert people.reopens("ann").id == second.assignment_id
    assert [row.record_id is None for row in people.rows(Judgement)] == [False, False]
    assert states(people) == ["done", "done"]
    with people.store.read() as session:
        opened = session.get_one(Assignment, second.assignment_id)
        again = as_shown(session, opened)
        assert (again.former.levels, again.judged_by) == ([[name] for name, _ in second.completions], "s2")
        assert len(take_snapshot(session, "helpfulness").rankings) == 2, "it is learned from all the while"
        before = last_submission(session, people.batch_id, people.ids["ann"], before=opened)
    people.says("ann", again, [[name for name, _ in second.completions]])
    assert [(row.revision, len(row.levels)) for row in people.rows(Judgement)] == [(1, 3), (1, 3), (2, 1)]
    assert (before, people.reopens("ann", before).id) == ("s1", first.assignment_id)


def states(people) -> list[str]:
    return [one.state for one in people.rows(Assignment)]


def test_a_judged_task_is_skipped_by_name_alone_and_keeps_what_was_said(people):
    given = people.judges("ann", submission="first")
    people.says("ann", given, submission="second")
    for named in (None, "first"):
        with pytest.raises(DataError, match="is judged, and not by what is to be"), people.store.write() as session:
            skip(session, given.assignment_id, people.ids["ann"], "k", NOW, named)
    for _ in range(2):
        with people.store.write() as session:
            skip(session, given.assignment_id, people.ids["ann"], "k", NOW, "second")
    assert [one.record_id is None for one in people.rows(Judgement)] == [False, False, True]
    assert states(people) == ["skipped"]
    again = people.reopens("ann")
    with people.store.read() as session:
        assert as_shown(session, again).judged_by is None, "it counts no more"
    people.says("ann", given, submission="third")
    assert states(people) == ["done"]


@pytest.mark.parametrize("how", ["skips", "judges"])
def test_opening_sent_again_does_nothing_more(people, how):
    people.judges("ann", submission="first")
    people.minutes = 1
    second = getattr(people, how)("ann", submission="second")
    said = len(people.rows(Judgement))
    for _ in range(3):
        assert people.reopens("ann", "second").id == second.assignment_id
    assert states(people) == ["done", "open" if how == "skips" else "done"], "what was said before stands"
    assert len(people.rows(Judgement)) == said
    if how == "skips":
        people.skips("ann", submission="third")
    else:
        people.says("ann", second, submission="third")
    assert people.reopens("ann", "second") is None, "on its way for so long that more has been said since"
    assert states(people)[1] != "open"


def test_a_skip_can_be_undone(people):
    people.judges("ann", submission="first")
    people.minutes = 1
    skipped = people.skips("ann")
    assert people.reopens("ann").id == skipped.assignment_id
    assert len(people.rows(Judgement)) == 1
    assert people.last("ann") == "first", "which the page shows next"
    assert people.reopens("bob") is None


@pytest.mark.parametrize("how", ["skips", "judges"])
def test_what_was_opened_is_not_closed_again_by_a_repetition(people, how):
    given = getattr(people, how)("ann", submission="same")
    people.reopens("ann", "same")
    said = len(people.rows(Judgement))
    if how == "judges":
        people.says("ann", given, submission="same")
    else:
        with people.store.write() as session:
            skip(session, given.assignment_id, people.ids["ann"], "same", NOW)
    assert states(people) == ["done" if how == "judges" else "open"] and len(people.rows(Judgement)) == said


def test_opening_opens_what_it_names_and_only_ones_own(people):
    people.skips("ann", submission="first")
    people.minutes = 1
    people.judges("ann", submission="second")
    assert people.reopens("bob", "first") is None and people.reopens("ann", "unheard of") is None
    people.reopens("ann", "first")
    assert states(people) == ["open", "done"], "a page that was opened before the second was judged"


def test_nobody_writes_in_the_name_of_another(people):
    given = people.given("ann")
    for act in (lambda: people.says("bob", given), lambda: people.says("bob", given, submission="x")):
        with pytest.raises(NotYours):
            act()
    with pytest.raises(NotYours), people.store.write() as session:
        skip(session, given.assignment_id, people.ids["bob"], "k1", NOW)
    assert people.rows(Judgement) == []


def test_an_answer_must_fit_what_was_shown(people):
    given = people.given("ann")
    a, b, c = (name for name, _ in given.completions)
    wrong = [
        ({"levels": [[a], [b]]}, "exactly once"),
        ({"levels": [[a], [b], [c], [c]]}, "exactly once"),
        ({"levels": [[a], [b], ["c_other"]]}, "exactly once"),
        ({"levels": [[a], [b]], "unusable": {c: "dull"}}, "the reason must be one of"),
        ({"levels": [[a], [b], []], "unusable": {c: "wrong"}}, "a level is empty"),
        ({"wanted": True}, "asks for an order"),
        ({"submission": "s" * 65}, "expected 1 to 64"),
        ({"note": "n" * 4001}, "at most 4000"),
    ]
    for said, complaint in wrong:
        with pytest.raises(DataError, match=complaint):
            people.says("ann", given, **said)
    assert people.rows(Judgement) == []


def test_a_rating_is_about_one_completion(store):
    people = People(store, BatchConfig(task=ThumbsTask(), labelers_per_prompt=3))
    given = people.given("ann")
    assert len(given.completions) == 1
    with pytest.raises(DataError, match="asks for a yes or a no"):
        people.says("ann", given)
    people.says("ann", given, wanted=False)
    [row] = people.rows(Judgement)
    assert (row.levels, row.unusable, row.wanted) == (None, None, False)


def test_the_database_itself_refuses_to_change_a_judgement(people):
    people.judges("ann")
    for statement in (update(Judgement).values(note="changed"), delete(Judgement)):
        with pytest.raises(DBAPIError, match="append-only"), people.store.write() as session:
            session.execute(statement)
    assert [row.note for row in people.rows(Judgement)] == [""]
