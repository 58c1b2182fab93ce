"""Feedback: what people were shown and what they said, as records that fit together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.class_votes import ClassVotes
from models.labeler_names import names_alike
from models.preferences.ratings import (
    rankings_of_ratings as rankings_of_ratings,  # what everyone needs who reads ratings
)
from models.records import Authorship, Completion, Prompt, Ranking, Rating, Split, read_records


class Feedback(NamedTuple):
    """What people were shown and what they said, and, where that is known, which systems wrote it. Each part may be empty.

    `class_votes` come counted, and of texts that need not be among the completions.
    """

    prompts: list[Prompt]
    completions: list[Completion]
    rankings: list[Ranking]
    ratings: Sequence[Rating] = ()
    systems: Sequence[Authorship] = ()
    class_votes: Sequence[ClassVotes] = ()

    @classmethod
    def of_folder(cls, folder: Path) -> "Feedback":
        """What `labeling.exporters.tables.export_raw` has written, as it was. Raises DataError where that is damaged."""
        shown = read_records(folder / "prompts.jsonl", Prompt), read_records(folder / "completions.jsonl", Completion)
        said = {"rankings": Ranking, "ratings": Rating, "systems": Authorship, "class_votes": ClassVotes}
        return cls(
            *shown, *(read_records(folder / f"{name}.jsonl", kind, may_be_missing=True) for name, kind in said.items())
        )


def describe(feedback: Feedback) -> str:
    """How much there is, and names that may be one person's, in lines for people."""
    people = {one.labeler for one in (*feedback.rankings, *feedback.ratings)}
    tied = sum(any(len(level) > 1 for level in one.levels) for one in feedback.rankings)
    counts = f"prompts: {len(feedback.prompts)}, completions: {len(feedback.completions)}, labelers: {len(people)}"
    lines = [f"{counts}, rankings: {len(feedback.rankings)} ({tied} with ties), ratings: {len(feedback.ratings)}"]
    alike = names_alike(people)
    return "\n".join(
        [*lines, *(f"labelers {', '.join(group)}: one person, or several? Only the case differs" for group in alike)]
    )


def in_order(feedback: Feedback) -> Feedback:
    """The same feedback, its records in an order that does not depend on the order of files, rows and lists."""
    return Feedback(
        sorted(feedback.prompts, key=lambda one: one.id),
        sorted(feedback.completions, key=lambda one: (one.prompt_id, one.id)),
        sorted(feedback.rankings, key=lambda one: (one.prompt_id, one.labeler, one.id)),
        sorted(feedback.ratings, key=lambda one: (one.prompt_id, one.completion_id, one.labeler)),
        sorted(feedback.systems, key=lambda one: (one.completion_id, one.system)),
        sorted(feedback.class_votes, key=lambda one: (one.prompt or "", one.text)),
    )


class ShownTexts:
    """Prompts and completions gathered by their texts: a text that comes again is the same record."""

    def __init__(self) -> None:
        self._prompts: dict[str, Prompt] = {}
        self._completions: dict[str, dict[str, Completion]] = {}
        self._systems: dict[tuple[str, str], Authorship] = {}

    def prompt(self, text: str, split: Split) -> Prompt:
        """The prompt of this text; it stays on the side of the split that it was first given."""
        if text not in self._prompts:
            self._prompts[text] = Prompt.of(text, split)
        return self._prompts[text]

    def completion(self, prompt: Prompt, text: str, ended: bool = True) -> Completion:
        """The completion of this text among those of the prompt. It has ended if it has anywhere."""
        of_prompt = self._completions.setdefault(prompt.id, {})
        if text not in of_prompt or (ended and not of_prompt[text].ended):
            of_prompt[text] = Completion.of(prompt.id, text, ended)
        return of_prompt[text]

    def wrote(self, completion: Completion, system: str) -> None:
        """Notes that this system wrote the completion; one without a name is none."""
        if system:
            self._systems[completion.id, system] = Authorship(completion_id=completion.id, system=system)

    @property
    def systems(self) -> list[Authorship]:
        """Which systems wrote which completions, as far as that was noted."""
        return list(self._systems.values())

    @property
    def prompts(self) -> list[Prompt]:
        """All prompts, in the order in which they came."""
        return list(self._prompts.values())

    @property
    def completions(self) -> list[Completion]:
        """All completions, prompt by prompt."""
        return [one for of_prompt in self._completions.values() for one in of_prompt.values()]
