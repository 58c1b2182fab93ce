"""Labelers that do not answer at once: what they have said is kept, so that a kill loses none of it."""

import pytest

from labeling.labelers.labeler import rank_completions
from models.records import Completion, Prompt, Ranking
from models.settings.labels import LabelerKind, SimulatedLabeler, SimulatedLabels

PROMPTS = [Prompt.of(text, "train") for text in ("one", "two", "three")]
COMPLETIONS = [Completion.of(prompt.id, text) for prompt in PROMPTS for text in "ba"]


class Slow(LabelerKind):
    """Ranks by the alphabet, and is killed after so many answers. It has no `kind`, so that no other test finds it."""

    patience: int = 99
    at_once: bool = False


asked: list[str] = []


class SlowLabeler:
    is_simulated = True

    def __init__(self, config, criterion):
        self.config, self.criterion, self.answers_at_once = config, criterion, config.at_once

    def label(self, prompt, completions):
        if len(asked) == self.config.patience:
            raise KeyboardInterrupt
        asked.append(prompt.text)
        ordered = sorted(completions, key=lambda one: one.text)
        return Ranking.of(prompt.id, self.config.name, self.criterion, [[one.id] for one in ordered])


def open_labeler(config, criterion, seed):
    return SlowLabeler(config, criterion)


@pytest.fixture(autouse=True)
def nobody_asked():
    asked.clear()


def labels(**settings) -> SimulatedLabels:
    return SimulatedLabels(labelers=(Slow(name="ann", **settings),), criterion="order")


def test_after_a_kill_only_the_rest_is_asked(tmp_path):
    kept = tmp_path / "checkpoints" / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        rank_completions(labels(patience=2), PROMPTS, COMPLETIONS, seed=0, kept=kept)
    assert asked == ["one", "two"]
    with kept.open("a") as file:
        file.write('{"id": "r_half an answer')  # the kill came while it was written
    asked.clear()
    rankings = rank_completions(labels(), PROMPTS, COMPLETIONS, seed=0, kept=kept)
    assert asked == ["three"]
    assert rankings == rank_completions(labels(), PROMPTS, COMPLETIONS, seed=0)
    assert [(one.prompt_id, one.labeler, one.criterion) for one in rankings] == [
        (prompt.id, "ann", "order") for prompt in PROMPTS
    ]


def test_answers_that_come_at_once_are_not_kept(tmp_path):
    kept = tmp_path / "answers.jsonl"
    rank_completions(labels(at_once=True), PROMPTS, COMPLETIONS, seed=0, kept=kept)
    assert asked == ["one", "two", "three"] and not kept.exists()


def test_labelers_of_several_kinds_rank_together():
    prompts = [Prompt.of("My house is too hot. What can I do?", "train")]
    completions = [Completion.of(prompts[0].id, text) for text in "ba"]
    config = SimulatedLabels(labelers=(SimulatedLabeler(name="bob"), Slow(name="ann")), criterion="order")
    rankings = rank_completions(config, prompts, completions, seed=0)
    assert [one.labeler for one in rankings] == ["bob", "ann"] and rankings[0].unusable
