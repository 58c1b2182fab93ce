"""Who is given what: places, leases, gold prompts, progress."""

from collections import Counter

from sqlalchemy import select

from labeling.store import accounts
from labeling.store.assignments import progress
from labeling.store.judgements import skip
from labeling.store.schema import Assignment, Batch, Judgement, Task
from models.settings.batch import BatchConfig, ChoiceTask
from tests.labeling.people import CONFIG, NOW, PROMPTS, People, gold_prompt


def test_each_prompt_goes_to_the_wanted_number_of_different_labelers(people):
    for name in ("ann", "bob", "cleo"):
        while given := people.given(name):
            people.says(name, given)
    with people.store.read() as session:
        pairs = session.execute(
            select(Task.prompt_id, Assignment.labeler_id).join(Task, Task.id == Assignment.task_id)
        ).all()
    assert Counter(prompt for prompt, _ in pairs) == dict.fromkeys((one.id for one in PROMPTS), 2)
    assert len(set(pairs)) == len(pairs) == 8


def test_the_open_task_is_given_again_until_it_is_judged(people):
    first = people.given("ann")
    assert people.given("ann").assignment_id == first.assignment_id
    people.says("ann", first)
    assert people.given("ann").prompt != first.prompt


def test_the_order_shown_is_kept_and_differs_between_labelers(people):
    orders = {}
    for name in ("ann", "bob"):
        for _ in PROMPTS:
            given = people.judges(name)
            orders[name, given.prompt] = [text for _, text in given.completions]
            assert [one for one, _ in given.completions] == people.rows(Assignment)[-1].shown_order
    assert any(orders["ann", one.text] != orders["bob", one.text] for one in PROMPTS)
    assert any(order != ["Advice 0.", "Advice 1.", "Advice 2."] for order in orders.values())


def test_an_abandoned_task_goes_to_another_after_its_lease(store):
    people = People(store, CONFIG.model_copy(update={"labelers_per_prompt": 1}))
    first = people.given("ann").prompt
    assert people.given("bob").prompt != first
    people.minutes = 11
    assert people.given("cleo").prompt == first


def test_what_comes_after_the_lease_is_kept_and_the_place_is_not_given_twice(store):
    people = People(store, CONFIG.model_copy(update={"labelers_per_prompt": 1}))
    late = people.given("ann")
    people.minutes = 11
    people.judges("cleo")
    people.says("ann", late)
    assert len(people.rows(Judgement)) == 2
    assert people.given("ann").prompt != late.prompt


def test_a_lapsed_task_is_not_given_back_once_its_place_is_taken(store):
    people = People(store, CONFIG.model_copy(update={"labelers_per_prompt": 1}))
    late = people.given("ann")
    people.minutes = 11
    people.judges("cleo")
    assert people.given("ann").prompt != late.prompt
    assert people.rows(Assignment)[0].state == "lapsed"


def test_a_skipped_task_is_not_given_again_and_leaves_its_place(store):
    people = People(store, CONFIG.model_copy(update={"labelers_per_prompt": 1}))
    first = people.given("ann")
    with people.store.write() as session:
        skip(session, first.assignment_id, people.ids["ann"], "k1", NOW)
    assert people.given("ann").prompt != first.prompt
    assert people.given("bob").prompt == first.prompt


def test_gold_prompts_come_between_and_to_everybody(store):
    gold = gold_prompt("Gold?", [["Gold 0."], ["Gold 1."]])
    people = People(store, CONFIG.model_copy(update={"gold_every": 4}), [gold])
    for name in ("ann", "bob"):
        assert [people.judges(name).prompt for _ in range(5)].index("Gold?") == 2
    assert people.given("cleo") is None, "the other prompts are full; a gold one alone is not worth a visit"


def test_a_choice_is_given_pair_by_pair_the_prompts_in_turn(store):
    people = People(store, BatchConfig(task=ChoiceTask(), labelers_per_prompt=2))
    seen = [people.judges("ann") for _ in range(12)]
    assert [one.prompt for one in seen] == [one.text for one in PROMPTS] * 3
    assert len({frozenset(name for name, _ in one.completions) for one in seen}) == 12
    assert people.given("ann") is None
    for _ in range(12):
        people.judges("bob")
    assert people.given("cleo") is None, "every pair has its two labelers"


def test_the_places_of_a_labeler_who_withdrew_go_to_others(store):
    people = People(store, CONFIG.model_copy(update={"labelers_per_prompt": 1}))
    first = people.judges("ann").prompt
    assert people.given("bob").prompt != first
    with store.write() as session:
        accounts.withdraw(session, "ann", "", NOW)
    assert people.given("cleo").prompt == first


def test_progress_counts_what_is_done_skipped_and_left(people):
    people.judges("ann")
    opened = people.given("ann")
    with people.store.write() as session:
        batch = session.get_one(Batch, people.batch_id)
        counts = progress(session, batch, people.ids["ann"], NOW)
        assert (counts.num_done, counts.num_skipped, counts.num_left) == (1, 0, 3)
        skip(session, opened.assignment_id, people.ids["ann"], "k1", NOW)
        session.flush()
        counts = progress(session, batch, people.ids["ann"], NOW)
        assert (counts.num_done, counts.num_skipped, counts.num_left) == (1, 1, 2)
