"""Publishing batches: once, with versions of the instructions, and nothing that does not fit."""

import pytest
from sqlalchemy import select

from labeling.store.batches import (
    GoldPrompt,
    current_instructions,
    has_read_instructions,
    mark_instructions_read,
    publish,
)
from labeling.store.schema import Batch, Task
from models.errors import DataError
from models.records import Prompt, Ranking
from models.settings.batch import BatchConfig, ThumbsTask
from tests.labeling.people import COMPLETIONS, CONFIG, NOW, PROMPTS


def test_publishing_the_same_again_changes_nothing_but_instructions_and_numbers(people):
    with people.store.write() as session:
        changed = CONFIG.model_copy(update={"labelers_per_prompt": 3})
        again = publish(session, changed, "other title", "Judge well.", PROMPTS, COMPLETIONS, (), NOW)
        assert again == people.batch_id
        newest = current_instructions(session, again)
        assert (newest.version, newest.text) == (2, "Judge well.")
        assert session.get(Batch, again).labelers_per_prompt == 3
        publish(session, changed, "other title", "Judge well.", PROMPTS, COMPLETIONS, (), NOW)
        assert current_instructions(session, again).version == 2
    assert len(people.rows(Task)) == len(PROMPTS)


def test_new_instructions_must_be_read_again(people):
    with people.store.write() as session:
        assert not has_read_instructions(session, people.ids["ann"], people.batch_id)
        mark_instructions_read(session, people.ids["ann"], people.batch_id, 1, NOW)
        assert has_read_instructions(session, people.ids["ann"], people.batch_id)
        assert not has_read_instructions(session, people.ids["bob"], people.batch_id)
        publish(session, CONFIG, "first", "Judge better.", PROMPTS, COMPLETIONS, (), NOW)
        assert not has_read_instructions(session, people.ids["ann"], people.batch_id)
        with pytest.raises(DataError, match="no version 3"):
            mark_instructions_read(session, people.ids["ann"], people.batch_id, 3, NOW)


@pytest.mark.parametrize(
    ("prompts", "completions", "instructions", "complaint"),
    [
        (PROMPTS, COMPLETIONS, " \n", "instructions of a batch must not be empty"),
        (PROMPTS, COMPLETIONS[:-2], "Judge.", "has 1 completion"),
        (PROMPTS[:-1], COMPLETIONS, "Judge.", "is not in the batch"),
        (
            [*PROMPTS[:-1], Prompt(id=PROMPTS[-1].id, text="Other?", split="train")],
            COMPLETIONS,
            "J",
            "text is 'Other",
        ),
        (
            [*PROMPTS[:-1], Prompt(id=PROMPTS[-1].id, text="Problem 3?", split="test")],
            COMPLETIONS,
            "J",
            "split is 'test'",
        ),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(people, prompts, completions, instructions, complaint):
    other = BatchConfig(criterion="brevity")
    with pytest.raises(DataError, match=complaint), people.store.write() as session:
        publish(session, other, "second", instructions, prompts, completions, (), NOW)
    assert len(people.rows(Batch)) == 1


def test_gold_goes_with_rankings_and_is_not_learned_from():
    with pytest.raises(ValueError, match=r"task\.kind ranking only"):
        BatchConfig(gold="gold.jsonl", task=ThumbsTask())


def test_a_gold_prompt_is_not_one_to_learn_from(people):
    gold = GoldPrompt(PROMPTS[0], COMPLETIONS[:3], Ranking.of(PROMPTS[0].id, "x", "c", [[COMPLETIONS[0].id]]))
    with pytest.raises(DataError, match=f"prompt {PROMPTS[0].id}: is a gold prompt"), people.store.write() as session:
        publish(session, CONFIG, "second", "Judge.", PROMPTS, COMPLETIONS, [gold], NOW)


def test_batches_of_one_title_are_told_apart(store):
    tenths = [[one for one in COMPLETIONS if one.prompt_id == prompt.id] for prompt in PROMPTS[:3]]
    with store.write() as session:
        for prompt, completions in zip(PROMPTS, tenths, strict=False):
            for _ in range(2):  # the second time it is the same batch
                publish(session, BatchConfig(), "100 %, 1 prompt", "Judge.", [prompt], completions, [], NOW)
        titles = session.scalars(select(Batch.title).order_by(Batch.title)).all()
    assert titles == ["100 %, 1 prompt", "100 %, 1 prompt (2)", "100 %, 1 prompt (3)"]
