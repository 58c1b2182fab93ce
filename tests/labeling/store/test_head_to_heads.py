"""Votes of a head-to-head judge what was learned: whatever learns from the store, or counts what there is to learn from, has none of them."""

from datetime import timedelta

import pytest

from labeling.oversight.csv_tables import JUDGEMENT_COLUMNS, judgement_rows
from labeling.store import accounts
from labeling.store.batches import on_known_sides, publish
from labeling.store.database import FeedbackStore
from labeling.store.retrainings import num_judgements_after, read_news
from labeling.store.schema import Batch
from labeling.store.snapshots import take_snapshot, take_votes
from models.errors import DataError
from models.records import Completion, Prompt
from models.settings.batch import BatchConfig, ChoiceTask
from tests.labeling.people import COMPLETIONS, NOW, PROMPTS, People

CHOICE = BatchConfig(task=ChoiceTask(), labelers_per_prompt=2)
SHOWN = PROMPTS[:2]
TEXTS = [one for one in COMPLETIONS if one.prompt_id in {prompt.id for prompt in SHOWN}]
PAIRS = [one for number, one in enumerate(TEXTS) if number % 3 < 2]


def published(store: FeedbackStore, **more) -> str:
    with store.write() as session:
        return publish(session, CHOICE, "Which is better?", "Judge.", SHOWN, PAIRS, (), NOW, **more)


@pytest.fixture
def voters(people: People) -> People:
    """The same people, who are asked about a head-to-head now; nobody has judged anything else."""
    people.batch_id = published(people.store, is_learned_from=False)
    return people


def test_votes_are_in_no_snapshot_and_are_not_waited_for(voters):
    given = voters.judges("ann")
    voters.judges("bob")
    with voters.store.read() as session:
        with pytest.raises(DataError, match="holds no judgement by 'helpfulness'"):
            take_snapshot(session, "helpfulness")
        assert num_judgements_after(session, 0, "helpfulness") == 0
        assert num_judgements_after(session, 0, "helpfulness", [voters.batch_id]) == 0
        news = read_news(session, "rein-policy", "helpfulness")
        assert (news.since_finished, news.since_started) == (0, 0)
        assert {row[JUDGEMENT_COLUMNS.index("counts")] for row in judgement_rows(session, None)} == {False}
        votes = take_votes(session, voters.batch_id)
    assert [one.labeler for one in votes.rankings] == ["ann", "bob"]
    assert {one.prompt_id for one in votes.rankings} == {one.id for one in votes.prompts}
    assert {name for name, _ in given.completions} <= {one.id for one in votes.completions}


def test_what_is_learned_from_stays_so_beside_a_head_to_head_of_the_same_texts(voters):
    voters.judges("ann")
    to_learn = published(voters.store)
    assert to_learn != voters.batch_id and to_learn.startswith("b_") and voters.batch_id.startswith("h_")
    voters.batch_id = to_learn
    voters.judges("bob")
    with voters.store.read() as session:
        assert [one.labeler for one in take_snapshot(session, "helpfulness").rankings] == ["bob"]
        assert num_judgements_after(session, 0, "helpfulness") == 1


def test_naming_a_head_to_head_to_learn_from_is_refused(voters):
    voters.judges("ann")
    with voters.store.read() as session, pytest.raises(DataError) as caught:
        take_snapshot(session, "helpfulness", [voters.batch_id])
    assert str(caught.value).startswith(f"labels.batches: {voters.batch_id} is a head-to-head: its votes judge")


def test_a_vote_counts_by_its_last_revision_and_not_after_a_withdrawal(voters):
    given = voters.given("ann")
    first, second = (name for name, _ in given.completions)
    voters.says("ann", given, [[first], [second]])
    voters.says("ann", given, [[second], [first]])
    voters.judges("bob")
    voters.takes_back("bob")
    with voters.store.read() as session:
        assert [one.levels for one in take_votes(session, voters.batch_id).rankings] == [((second,), (first,))]
    with voters.store.write() as session:
        accounts.withdraw(session, "ann", "asked to", NOW + timedelta(hours=1))
    with voters.store.read() as session:
        assert take_votes(session, voters.batch_id).rankings == []


def test_publishing_it_again_asks_nobody_twice(voters):
    assert published(voters.store, is_learned_from=False) == voters.batch_id
    with voters.store.read() as session:
        assert not session.get_one(Batch, voters.batch_id).is_learned_from
        assert session.query(Batch).count() == 2, "the one that people were made with, and this one"


def test_a_prompt_stays_on_the_side_that_the_store_knows_it_on(voters):
    known, new = Prompt.of(PROMPTS[0].text, "test"), Prompt.of("New?", "test")
    with voters.store.write() as session:
        prompts = on_known_sides(session, [known, new])
        assert prompts == [PROMPTS[0], new]
        texts = [Completion.of(one.id, text) for one in prompts for text in ("This.", "That.")]
        publish(session, CHOICE, "Which?", "Judge.", prompts, texts, (), NOW, is_learned_from=False)
