"""Labelers that are language models: asked about two completions in both orders, or for the order of all of them, forwards and backwards.

Their rankings follow from what they say of every two (models/judge_model/levels.py). What is said so that nobody can read it is no label.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

from models.errors import DataError
from models.judge_model.kept_answers import KeptAnswers
from models.judge_model.levels import levels_of
from models.judge_model.verdicts import Asker, Texts
from models.records import Completion, Prompt, Ranking
from models.settings.asked.labels import AILabeler

Shown = tuple[Prompt, Sequence[Completion]]
"""A prompt and completions of it, which are judged together."""


class Said(NamedTuple):
    """What a model said. `told`: figures of how, by name; `unreadable`: a few answers that are no label."""

    rankings: list[Ranking]
    told: dict[str, float]
    unreadable: list[str]


def ask_model(
    config: AILabeler,
    criterion: str,
    shown: Sequence[Shown],
    kept: KeptAnswers,
    tell: Callable[[float], None] = lambda percent: None,
) -> Said:
    """A ranking of each, as far as answers can be read; each answer is kept as it comes, and what is kept is not asked again.

    `tell` hears how many percent are answered. Raises DataError where no ranking follows from any answer, PipelineError as the model does.
    """
    asker = Asker(config, criterion, kept, tell)
    texts = [Texts(prompt.text, tuple(one.text for one in completions)) for prompt, completions in shown]
    labels = asker.order(texts) if config.asks == "lists" else _compared(asker, texts)
    rankings = []
    for (prompt, completions), own in zip(shown, labels, strict=True):
        if levels := levels_of(len(completions), own, config.tie_width):
            named = [[completions[place].id for place in level] for level in levels]
            rankings.append(Ranking.of(prompt.id, config.name, criterion, named))
    unreadable = asker.tally.shown()
    if not rankings:
        such = f", such as {unreadable[0][:200]!r}" if unreadable else ""
        raise DataError(
            f"labels.labelers: {config.name}: no ranking follows from any of {len(asker.tally.answers)} answers{such}; "
            "look at the model, or at asks and tie_width"
        )
    return Said(rankings, asker.tally.figures(asker.model), unreadable)


def shown_together(
    prompts: Sequence[Prompt], completions: Sequence[Completion], rankings: Sequence[Ranking]
) -> list[Shown]:
    """Each set of completions that somebody ranked, once, in an order that depends on nothing but their texts."""
    prompt_of = {one.id: one for one in prompts}
    completion_of = {one.id: one for one in completions}
    sets = {(one.prompt_id, tuple(sorted(one.places))) for one in rankings if len(one.places) > 1}
    return [(prompt_of[prompt], [completion_of[name] for name in names]) for prompt, names in sorted(sets)]


def _compared(asker: Asker, shown: Sequence[Texts]) -> list[dict[tuple[int, int], float]]:
    """Of each prompt (i, j) -> the probability that completion i is better than j, i < j, without pairs of which nothing could be read."""
    pairs = [(number, *two) for number, one in enumerate(shown) for two in combinations(range(len(one.completions)), 2)]
    texts = [Texts(shown[n].prompt, (shown[n].completions[i], shown[n].completions[j])) for n, i, j in pairs]
    labels: list[dict[tuple[int, int], float]] = [{} for _ in shown]
    for (number, i, j), label in zip(pairs, asker.compare(texts), strict=True):
        if label is not None:
            labels[number][i, j] = label
    return labels
