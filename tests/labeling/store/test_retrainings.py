"""What counts as new since a retraining, what a killed one leaves, and who is champion after which moves."""

from datetime import timedelta

import pytest

from labeling.store import accounts
from labeling.store.retrainings import (
    begin_retraining,
    champion_before,
    end_retraining,
    last_promotion,
    note_promotion,
    num_judgements_after,
    num_looks,
    read_news,
)
from labeling.store.schema import Promotion, Retraining
from labeling.store.snapshots import last_judgement, note_snapshot, take_snapshot
from tests.labeling.people import NOW

NAME = "rein-policy"


def learned(people, sha256: str) -> None:
    """A snapshot of now, as a run that learns from it leaves it in the store."""
    with people.store.write() as session:
        last = last_judgement(session)
        note_snapshot(session, take_snapshot(session, "helpfulness"), sha256, "helpfulness", last, NOW)


def news(people, **more):
    with people.store.read() as session:
        return read_news(session, NAME, "helpfulness", **more)


def begun(people, sha256: str, flow_run_id: str = "f1") -> int:
    with people.store.write() as session:
        return begin_retraining(session, NAME, sha256, flow_run_id, NOW).id


def ended(people, number: int, outcome: str) -> None:
    with people.store.write() as session:
        end_retraining(session, number, outcome, "because", NOW + timedelta(minutes=5))


def promotion(version: int, sha256: str | None = None, is_rollback: bool = False) -> Promotion:
    return Promotion(
        policy_name=NAME,
        version=version,
        policy_sha256=f"policy-{version}",
        is_rollback=is_rollback,
        is_done=True,
        snapshot_sha256=sha256,
        made_by="ann",
        reason="better",
        created_at=NOW,
    )


def moved(people, *moves: Promotion) -> None:
    for move in moves:
        with people.store.write() as session:
            last = last_promotion(session, NAME)
            assert note_promotion(session, move, after=last.id if last else None)


def test_an_assignment_counts_once_by_its_last_revision_and_not_when_it_is_taken_back(people):
    assert news(people).since_finished == 0
    first = people.judges("ann")
    people.judges("bob")
    assert news(people).since_finished == 2
    people.says("ann", first, levels=[[one for one, _ in first.completions]])
    assert news(people).since_finished == 2, "a further revision is no further assignment"
    learned(people, "5ha1")
    moved(people, promotion(1, "5ha1"))
    assert news(people).since_finished == 0
    people.says("ann", first)
    assert news(people).since_finished == 1, "judged anew after the champion's snapshot"
    people.takes_back("ann")
    assert news(people).since_finished == 0


def test_gold_prompts_other_criteria_other_batches_and_withdrawn_labelers_do_not_count(people):
    people.judges("ann")
    people.judges("bob")
    with people.store.read() as session:
        assert num_judgements_after(session, 0, "helpfulness") == 2
        assert num_judgements_after(session, 0, "helpfulness", [people.batch_id]) == 2
        assert num_judgements_after(session, 0, "helpfulness", ["b_other"]) == 0
        assert num_judgements_after(session, 0, "brevity") == 0
    with people.store.write() as session:
        accounts.withdraw(session, "ann", "asked to", NOW)
    assert news(people).since_finished == 1


def test_what_is_new_is_counted_from_the_last_decision_and_started_from_the_last_start(people):
    people.judges("ann")
    learned(people, "5ha1")
    number = begun(people, "5ha1")
    now = news(people)
    assert (now.since_finished, now.since_started) == (1, 0)
    assert now.unfinished.snapshot_sha256 == "5ha1"
    assert begun(people, "5ha1", "f2") == number, "started again after a kill, it goes on in the same row"
    ended(people, number, "kept")
    people.judges("bob")
    now = news(people)
    assert (now.since_finished, now.since_started, now.unfinished) == (1, 1, None)
    learned(people, "5ha2")
    ended(people, begun(people, "5ha2"), "failed")
    now = news(people)
    assert (now.since_finished, now.since_started, now.unfinished) == (1, 0, None), "a failed one has decided nothing"
    assert len(people.rows(Retraining)) == 2


def test_a_decision_is_not_undone_by_another_run_on_the_same_snapshot(people):
    people.judges("ann")
    learned(people, "5ha1")
    number = begun(people, "5ha1")
    assert begun(people, "5ha1", "f2") == number
    ended(people, number, "promoted")
    ended(people, number, "kept")
    ended(people, number, "failed")
    assert [one.outcome for one in people.rows(Retraining)] == ["promoted"]


def test_a_clock_that_jumps_back_changes_nothing_in_what_counts(people):
    given = people.judges("ann")
    learned(people, "5ha1")
    moved(people, promotion(1, "5ha1"))
    people.minutes = -7 * 24 * 60
    people.says("ann", given, levels=[[one for one, _ in given.completions]])
    assert news(people).since_finished == 1
    with people.store.read() as session:
        [ranking] = take_snapshot(session, "helpfulness").rankings
    assert len(ranking.levels) == 1, "the later revision, said at an earlier hour, is the one that counts"


def test_judgements_that_come_while_a_snapshot_is_taken_are_still_new(people):
    people.judges("ann")
    with people.store.read() as session:
        last = last_judgement(session)
        feedback = take_snapshot(session, "helpfulness")
    people.judges("bob")
    with people.store.write() as session:
        note_snapshot(session, feedback, "5ha1", "helpfulness", last, NOW)
    moved(people, promotion(1, "5ha1"))
    assert news(people).since_finished == 1


@pytest.mark.parametrize(
    ("moves", "before"),
    [
        ([], None),
        ([(1, False)], None),
        ([(1, False), (2, False)], 1),
        ([(1, False), (2, False), (3, False), (2, True)], 1),
        ([(1, False), (2, False), (1, True), (3, False)], 1),
        ([(1, False), (2, False), (1, False)], 2),
        ([(1, False), (2, False), (1, True)], None),
    ],
)
def test_a_rollback_leads_to_the_champion_before(people, moves, before):
    moved(people, *(promotion(version, is_rollback=back) for version, back in moves))
    with people.store.read() as session:
        found = champion_before(session, NAME)
        assert (found and found.version) == before


def test_of_two_moves_that_saw_the_same_champion_one_is_made(people):
    moved(people, promotion(1))
    with people.store.read() as session:
        seen = last_promotion(session, NAME).id
    with people.store.write() as session:
        assert note_promotion(session, promotion(2), after=seen)
    with people.store.write() as session:
        assert not note_promotion(session, promotion(3), after=seen)
    assert [one.version for one in people.rows(Promotion)] == [1, 2]


def test_a_snapshot_that_this_store_has_never_seen_is_left_out(people):
    moved(people, promotion(1, "from another store"))
    assert [one.snapshot_sha256 for one in people.rows(Promotion)] == [None]


def looks(people) -> int:
    with people.store.read() as session:
        return num_looks(session, NAME)


def refused(people, sha256: str) -> None:
    """One more judgement, and a challenger that has learned from it, too, and is kept from the place."""
    people.judges("ann")
    learned(people, sha256)
    ended(people, begun(people, sha256), "kept")


def test_looks_are_counted_since_the_champion_took_its_place(people):
    assert looks(people) == 0
    refused(people, "5ha1")
    people.judges("bob")
    learned(people, "5ha2")
    number = begun(people, "5ha2")
    assert looks(people) == 2, "one was kept out by the base, one is under way"
    moved(people, promotion(1, "5ha2"))
    ended(people, number, "promoted")
    assert looks(people) == 0
    refused(people, "5ha3")
    refused(people, "5ha4")
    for outcome in ("failed", "cancelled"):
        ended(people, begun(people, "5ha4"), outcome)
    assert looks(people) == 2
    ended(people, begun(people, "5ha2"), "kept")
    assert looks(people) == 3, "other settings, the same feedback as the champion's"
    moved(people, promotion(2, "5ha4"))
    begun(people, "5ha2")
    assert looks(people) == 2, "that of the same feedback, and one that goes on with older feedback"


def test_a_roll_back_takes_no_look_back(people):
    refused(people, "5ha1")
    moved(people, promotion(1, "5ha1"))
    refused(people, "5ha2")
    refused(people, "5ha3")
    moved(people, promotion(2, "5ha3"), promotion(1, "5ha1", is_rollback=True))
    assert looks(people) == 3


def test_of_a_champion_from_elsewhere_all_looks_count_and_none_of_another_policy(people):
    refused(people, "5ha1")
    moved(people, promotion(1))
    refused(people, "5ha2")
    assert looks(people) == 2
    with people.store.read() as session:
        assert num_looks(session, "another") == 0
