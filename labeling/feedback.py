"""Feedback: what people were shown and what they said, as records that fit together."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from models.records import Completion, Prompt, Ranking, Rating, Split


class Feedback(NamedTuple):
    """What people were shown and what they said. Each part may be empty."""

    prompts: list[Prompt]
    completions: list[Completion]
    rankings: list[Ranking]
    ratings: Sequence[Rating] = ()


class ShownTexts:
    """Prompts and completions gathered by their texts: a text that comes again is the same record.

    The completions of a prompt are numbered in the order in which their texts come first.
    """

    def __init__(self) -> None:
        self._prompts: dict[str, Prompt] = {}
        self._completions: dict[str, dict[str, Completion]] = {}

    def prompt(self, text: str, split: Split) -> Prompt:
        """The prompt of this text; it stays on the side of the split that it was first given."""
        if text not in self._prompts:
            self._prompts[text] = Prompt.of(text, split)
        return self._prompts[text]

    def completion(self, prompt: Prompt, text: str) -> Completion:
        """The completion of this text among those of the prompt."""
        of_prompt = self._completions.setdefault(prompt.id, {})
        if text not in of_prompt:
            of_prompt[text] = Completion.of(prompt.id, len(of_prompt), text)
        return of_prompt[text]

    @property
    def prompts(self) -> list[Prompt]:
        """All prompts, in the order in which they came."""
        return list(self._prompts.values())

    @property
    def completions(self) -> list[Completion]:
        """All completions, prompt by prompt."""
        return [one for of_prompt in self._completions.values() for one in of_prompt.values()]


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
