"""Snapshots: what counts, in what order, and with which digest; withdrawal; imports into the store."""

from pathlib import Path

import pytest
from sqlalchemy import select

from labeling.feedback import Feedback, rankings_of_ratings
from labeling.store import accounts
from labeling.store.batches import publish
from labeling.store.database import FeedbackStore
from labeling.store.intake import take_in
from labeling.store.schema import Assignment, Batch, Judgement, Labeler, Snapshot
from labeling.store.snapshots import note_snapshot, snapshots_with, take_snapshot
from models.errors import DataError
from models.records import Authorship, Prompt, Ranking, Rating
from models.settings.batch import BatchConfig, ThumbsTask
from tasks.champion.snapshot import write_snapshot
from tests.labeling.people import COMPLETIONS, CONFIG, NOW, PROMPTS, People, gold_prompt
from tests.labeling.postgres import create_database

A, B, C = (one.id for one in COMPLETIONS[:3])
FIRST = PROMPTS[0].id


def snapshot(store: FeedbackStore, criterion="helpfulness", batches=()) -> Feedback:
    with store.read() as session:
        return take_snapshot(session, criterion, batches)


def digest(store: FeedbackStore, root: Path) -> str:
    return write_snapshot(root, snapshot(store))[1]


def ranked(labeler, levels, unusable=(), prompt_id=FIRST) -> Ranking:
    return Ranking.of(prompt_id, labeler, "helpfulness", [sorted(level) for level in levels], sorted(unusable))


def imported(store: FeedbackStore, *records, source="file", is_complete=False):
    rankings = [one for one in records if isinstance(one, Ranking)]
    ratings = [one for one in records if isinstance(one, Rating)]
    feedback = Feedback(PROMPTS, COMPLETIONS, rankings + rankings_of_ratings(ratings), ratings)
    with store.write() as session:
        return tuple(take_in(session, feedback, source, is_complete, NOW))


def test_a_snapshot_holds_the_last_word_of_everybody(people):
    ann, bob = people.given("ann"), people.given("bob")
    people.says("ann", ann, [[A], [B], [C]])
    people.says("bob", bob, [[C, B]], {A: "wrong"})
    people.says("ann", ann, [[B], [A, C]])
    feedback = snapshot(people.store)
    said = [ranked("ann", [[B], [A, C]]), ranked("bob", [[B, C]], [A])]
    assert [one.id for one in feedback.rankings] == [one.id for one in said]
    orders = [tuple(name for name, _ in given.completions) for given in (ann, bob)]
    assert [one.shown for one in feedback.rankings] == orders
    assert feedback.prompts == PROMPTS[:1]
    assert {one.id for one in feedback.completions} == {A, B, C}


def test_what_was_taken_back_is_left_out_until_said_again(people):
    given = people.judges("ann")
    people.judges("bob")
    people.takes_back("ann")
    assert [one.labeler for one in snapshot(people.store).rankings] == ["bob"]
    people.says("ann", given)
    assert [one.labeler for one in snapshot(people.store).rankings] == ["ann", "bob"]


def test_gold_prompts_are_not_learned_from(store):
    gold = gold_prompt("Gold?", [["Gold 0."], ["Gold 1."]])
    people = People(store, CONFIG.model_copy(update={"gold_every": 2}), [gold])
    assert [people.judges("ann").prompt for _ in range(2)][1] == "Gold?"
    assert {one.prompt_id for one in snapshot(store).rankings} == {FIRST}


def test_criteria_and_batches_are_told_apart(people):
    people.judges("ann")
    with people.store.write() as session:
        other = publish(session, CONFIG, "second", "Judge.", PROMPTS[:1], COMPLETIONS[:3], (), NOW)
    with pytest.raises(DataError, match="no judgement by 'brevity'"):
        snapshot(people.store, "brevity")
    with pytest.raises(DataError, match="no judgement by 'helpfulness'"):
        snapshot(people.store, batches=[other])
    assert len(snapshot(people.store, batches=[other, people.batch_id]).rankings) == 1
    with pytest.raises(DataError, match=r"labels\.batches: the feedback store has no batch b_0"):
        snapshot(people.store, batches=["b_0"])


def test_of_two_rankings_of_the_same_the_newer_counts(people):
    imported(people.store, ranked("ann", [[A], [B], [C]]))
    people.says("ann", people.given("ann"), [[C], [B], [A]])
    imported(people.store, ranked("ann", [[A], [B]]), ranked("bob", [[A], [B]]), source="other")
    anns = [ranked("ann", [[A], [B]]), ranked("ann", [[C], [B], [A]])]
    said = [*sorted(anns, key=lambda one: one.id), ranked("bob", [[A], [B]])]
    assert [one.id for one in snapshot(people.store).rankings] == [one.id for one in said]


def test_the_same_twice_counts_twice_in_two_sessions(store):
    said = [Ranking.of(FIRST, "ann", "helpfulness", [[A], [B]], session=day) for day in ("monday", "tuesday")]
    assert imported(store, *said) == (2, 0, 0, 0) and imported(store, *said[::-1]) == (0, 0, 0, 2)
    assert sorted(one.session for one in snapshot(store).rankings) == ["monday", "tuesday"]
    assert {one.id for one in snapshot(store).rankings} == {one.id for one in said}


def test_a_degree_that_changes_in_a_file_is_an_edit(store):
    said = [
        Ranking.of(FIRST, "ann", "helpfulness", [[A], [B]], degree=one) for one in ("better", "slightly_better", None)
    ]
    assert [imported(store, one) for one in said] == [(1, 0, 0, 0), (0, 1, 0, 0), (0, 1, 0, 0)]
    assert imported(store, said[0]) == (0, 1, 0, 0) and snapshot(store).rankings == [said[0]]


def test_ratings_make_rankings_where_a_labeler_rated_several(store):
    people = People(store, BatchConfig(task=ThumbsTask(), labelers_per_prompt=3))
    people.says("ann", people.given("ann"), wanted=False)
    imported(
        store,
        *(Rating.of(FIRST, one, "dora", "helpfulness", wanted) for one, wanted in ((A, True), (B, False), (C, True))),
    )
    feedback = snapshot(store)
    assert [(one.labeler, one.completion_id, one.wanted) for one in feedback.ratings] == sorted(
        [("ann", A, False), ("dora", A, True), ("dora", B, False), ("dora", C, True)], key=lambda one: (one[1], one[0])
    )
    assert feedback.rankings == [ranked("dora", [[A, C], [B]])]


def test_a_ranking_goes_before_one_that_follows_from_ratings(store):
    rated = [Rating.of(FIRST, one, "ann", "helpfulness", wanted) for one, wanted in ((A, True), (B, False))]
    imported(store, ranked("ann", [[B], [A]]), source="ranked")
    imported(store, *rated, source="rated")
    assert snapshot(store).rankings == [ranked("ann", [[B], [A]])]
    assert sorted(one.id for one in snapshot(store).ratings) == sorted(one.id for one in rated)


def test_the_digest_is_the_same_on_both_databases_and_changes_with_a_word(tmp_path, postgres_cluster):
    digests = []
    for url in (f"sqlite:///{tmp_path}/one.db", create_database(postgres_cluster, "digest")):
        store = FeedbackStore(url)
        people = People(store)
        given = {name: people.given(name) for name in ("ann", "bob")}
        for name in ("bob", "ann") if "sqlite" in url else ("ann", "bob"):
            people.says(name, given[name], [[A], [C, B]] if name == "ann" else [[B, C], [A]])
        before = digest(store, tmp_path)
        people.says("ann", given["ann"], [[A], [B, C]])
        assert digest(store, tmp_path) == before, "saying the same again changes nothing"
        imported(store, ranked("Zoë", [[B], [A]]), ranked("émile", [[B], [A]]), ranked("abel", [[B], [A]]))
        assert digest(store, tmp_path) != before
        digests.append((before, digest(store, tmp_path)))
        store.close()
    assert digests[0] == digests[1]


def test_a_withdrawal_takes_everything_out_and_keeps_the_trail(people):
    people.judges("ann")
    people.judges("bob")
    both = snapshot(people.store)
    with people.store.write() as session:
        for _ in range(2):
            note_snapshot(session, both, "5ha", "helpfulness", 2, NOW)
        labeler = accounts.withdraw(session, "ann", "asked to", NOW)
        assert labeler.token_sha256 is None
    assert [one.labeler for one in snapshot(people.store).rankings] == ["bob"]
    assert len(people.rows(Judgement)) == 2
    with people.store.read() as session:
        assert [one.sha256 for one in snapshots_with(session, people.ids["ann"])] == ["5ha"]
        assert snapshots_with(session, people.ids["cleo"]) == []
        [noted] = session.scalars(select(Snapshot))
        assert (noted.num_rankings, noted.num_ratings) == (2, 0)
    for name, complaint in (("ann", "has withdrawn already"), ("dora", "no one of this name")):
        with pytest.raises(DataError, match=complaint), people.store.write() as session:
            accounts.withdraw(session, name, "", NOW)
    with pytest.raises(DataError, match="taken"), people.store.write() as session:
        accounts.add_labeler(session, "ann", False, NOW)
    assert imported(people.store, ranked("ann", [[A], [B]]), source="late") == (1, 0, 0, 0)
    assert [one.labeler for one in snapshot(people.store).rankings] == ["bob"]


# --- imports ---------------------------------------------------------------------------------------------------------


def test_importing_twice_changes_nothing(store, tmp_path):
    said = [ranked("ann", [[A], [B]]), ranked("bob", [[C]], [A, B]), Rating.of(FIRST, A, "ann", "toxic", True)]
    assert imported(store, *said) == (3, 0, 0, 0)
    before = digest(store, tmp_path)
    assert imported(store, *said) == (0, 0, 0, 3)
    assert imported(store, *reversed(said), is_complete=True) == (0, 0, 0, 3)
    tied = Ranking.of(FIRST, "cleo", "helpfulness", [[C, B, A]], [])
    assert imported(store, tied, ranked("bob", [[C]], [A, B])) == (1, 0, 0, 1)
    assert imported(store, ranked("cleo", [[A, B, C]])) == (0, 0, 0, 1), "within a tie there is no order"
    assert imported(store, *said, is_complete=True) == (0, 0, 1, 3)
    assert digest(store, tmp_path) == before
    assert snapshot(store).rankings == said[:2]
    assert snapshot(store, "toxic").ratings == said[2:]


def test_who_wrote_a_completion_comes_along(store):
    wrote = [
        Authorship(completion_id=A, system="x"),
        Authorship(completion_id=A, system="y"),
        Authorship(completion_id=C, system="z"),
    ]
    for systems in (wrote[:1], wrote):
        with store.write() as session:
            take_in(
                session, Feedback(PROMPTS, COMPLETIONS, [ranked("ann", [[A], [B]])], (), systems), "file", False, NOW
            )
    assert snapshot(store).systems == wrote[:2], "C is in no ranking"


def test_an_edit_elsewhere_is_a_further_revision(store):
    imported(store, ranked("ann", [[A], [B]]), ranked("bob", [[A], [B]]))
    assert imported(store, ranked("ann", [[B], [A]]), ranked("bob", [[A], [B]])) == (0, 1, 0, 1)
    assert snapshot(store).rankings == [ranked("ann", [[B], [A]]), ranked("bob", [[A], [B]])]
    with store.read() as session:
        assert len(list(session.scalars(select(Judgement)))) == 3


def test_what_a_complete_source_lacks_is_taken_back_and_may_return(store):
    rating = Rating.of(FIRST, A, "ann", "toxic", True)
    imported(store, ranked("ann", [[A], [B]]), ranked("bob", [[A], [B]]), rating)
    imported(store, ranked("cleo", [[A], [B]]), source="other")
    assert imported(store, ranked("bob", [[A], [B]])) == (0, 0, 0, 1), "a part of a source takes nothing back"
    assert imported(store, ranked("bob", [[A], [B]]), is_complete=True) == (0, 0, 2, 1)
    assert [one.labeler for one in snapshot(store).rankings] == ["bob", "cleo"]
    with pytest.raises(DataError):
        snapshot(store, "toxic")
    assert imported(store, ranked("ann", [[A], [B]])) == (0, 1, 0, 0)
    assert [one.labeler for one in snapshot(store).rankings] == ["ann", "bob", "cleo"]
    with store.read() as session:
        ann = session.scalar(select(Labeler).where(Labeler.name == "ann"))
        assert sorted(session.scalars(select(Assignment.state).where(Assignment.labeler_id == ann.id))) == [
            "done",
            "lapsed",
        ]


def test_nothing_imported_is_handed_out_and_a_name_is_one_person(people):
    imported(people.store, ranked("ann", [[A], [B]]), ranked("dora", [[A], [B]]))
    with people.store.write() as session:
        assert session.scalar(select(Batch).where(Batch.labelers_per_prompt == 0)).title == "imported: file"
        assert accounts.add_labeler(session, "dora", False, NOW).startswith("rein_")
    assert [one.name for one in people.rows(Labeler)] == ["ann", "bob", "cleo", "dora"]


def test_an_import_that_contradicts_the_store_changes_nothing(store):
    imported(store, ranked("ann", [[A], [B]]))
    moved = Prompt(id=FIRST, text=PROMPTS[0].text, split="test")
    with pytest.raises(DataError, match=f"prompt {FIRST}: split is 'test', but"), store.write() as session:
        take_in(session, Feedback([moved], COMPLETIONS[:3], [ranked("bob", [[A], [B]])]), "file", False, NOW)
    assert len(snapshot(store).rankings) == 1
