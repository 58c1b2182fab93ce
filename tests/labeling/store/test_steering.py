"""What an overseer changes while a batch runs."""

import pytest

from labeling.oversight import overview
from labeling.store.assignments import progress as progress_of
from labeling.store.retrainings import num_judgements_after
from labeling.store.schema import Batch
from labeling.store.snapshots import take_snapshot
from labeling.store.steering import ask_more, count_again, leave_out
from models.errors import DataError
from tests.labeling.oversight.overseen import figures, of, progress
from tests.labeling.people import NOW, PROMPTS, People


def steers(people: People, act, *values) -> None:
    with people.store.write() as session:
        act(session, session.get_one(Batch, people.batch_id), *values)


def learned_from(people: People) -> list[str]:
    with people.store.read() as session:
        return [one.labeler for one in take_snapshot(session, "helpfulness").rankings]


def test_one_more_labeler_is_asked_about_one_prompt(people):
    for name in ("ann", "bob"):
        people.judges(name), people.judges(name)
    assert (progress(people).num_wanted, progress(people).num_prompts_done) == (8, 2)
    assert people.given("cleo").prompt == PROMPTS[2].text, "two are enough for the first two"
    people.skips("cleo")
    for _ in range(2):  # sent twice
        steers(people, ask_more, PROMPTS[1].id, 1)
    assert (progress(people).num_wanted, progress(people).num_prompts_done) == (9, 1)
    assert people.judges("cleo").prompt == PROMPTS[1].text
    assert progress(people).num_prompts_done == 2
    with people.store.read() as session:
        shown = overview.side_by_side(
            session, people.batch_id, [overview.Disagreement(PROMPTS[1].id, ("ann", "bob"), 1, 3)]
        )
    assert shown[0].num_extra == 1


def test_nobody_is_asked_about_what_is_not_in_the_batch(people):
    with pytest.raises(DataError, match="asks nobody about it"):
        steers(people, ask_more, "p_other", 1)
    with pytest.raises(DataError, match="expected 0 to 20, found 21"):
        steers(people, ask_more, PROMPTS[0].id, 21)


def test_who_is_left_out_counts_for_nothing_until_counted_again(people):
    given = people.judges("ann")
    people.judges("bob")
    assert people.given("cleo").prompt == PROMPTS[1].text
    for _ in range(2):
        steers(people, leave_out, "ann", NOW)
    assert learned_from(people) == ["bob"]
    assert people.given("ann") is None, "whose answers count for nothing is not kept at work"
    with people.store.read() as session:
        batch = session.get_one(Batch, people.batch_id)
        assert progress_of(session, batch, people.ids["ann"], NOW).num_left == 0
        assert num_judgements_after(session, 0, "helpfulness") == 1
    assert (progress(people).num_judgements, progress(people).num_prompts_done) == (1, 0)
    assert [(one.labeler, one.is_left_out) for one in figures(people).labelers] == [("bob", False), ("ann", True)]
    assert (of(people, "ann").num_judgements, of(people, "ann").reliability) == (1, None)
    people.skips("cleo")
    assert people.judges("cleo").prompt == given.prompt, "her place went to another"
    steers(people, count_again, "ann")
    assert learned_from(people) == ["ann", "bob", "cleo"]
    assert people.given("ann") is not None


def test_the_figures_follow_at_once(people):
    people.judges("ann"), people.judges("bob")
    cache = overview.FigureCache()

    def names() -> list[str]:
        with people.store.read() as session:
            found = cache.figures(session, session.get_one(Batch, people.batch_id))
        return [one.labeler for one in found.labelers if not one.is_left_out]

    assert names() == ["ann", "bob"]
    steers(people, leave_out, "bob", NOW)
    assert names() == ["ann"]
