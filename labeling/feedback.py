"""Feedback: what people were shown and what they said, as records that fit together."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from models.records import Completion, Prompt, Ranking, Rating


class Feedback(NamedTuple):
    """What people were shown and what they said. Each part may be empty."""

    prompts: list[Prompt]
    completions: list[Completion]
    rankings: list[Ranking]
    ratings: Sequence[Rating] = ()


def rankings_of_ratings(ratings: Iterable[Rating]) -> list[Ranking]:
    """One ranking per labeler, prompt and criterion with two or more rated completions: the wanted ones above the others.

    Completions of the same answer are tied. Of several ratings of one completion by one labeler the last counts.
    """
    answers: dict[tuple[str, str, str], dict[str, bool]] = {}
    for one in ratings:
        answers.setdefault((one.prompt_id, one.labeler, one.criterion), {})[one.completion_id] = one.wanted
    return [
        Ranking.of(*question, [level for level in _levels(wanted) if level])
        for question, wanted in answers.items()
        if len(wanted) >= 2
    ]


def _levels(wanted: dict[str, bool]) -> tuple[list[str], list[str]]:
    return sorted(name for name in wanted if wanted[name]), sorted(name for name in wanted if not wanted[name])
