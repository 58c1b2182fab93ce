"""Votes of people who put single texts into classes."""

from typing import Annotated

from pydantic import Field

from models.conversation import PromptText
from models.records import Record, Split

WANTED, UNWANTED = "wanted", "unwanted"
"""The classes of thumbs up and down, and of yes and no."""


class ClassVotes(Record):
    """How many people put one text into each class: `votes` of 3, {"rude": 2, "polite": 1}.

    `prompt`: what the text completes; None for a text that stands by itself. `split` is that of the prompt, or of such a text.
    """

    prompt: PromptText | None
    text: str
    split: Split
    votes: dict[str, Annotated[int, Field(ge=1)]] = Field(min_length=1)

    @property
    def shares(self) -> dict[str, float]:
        """Class -> its share of the votes: a soft label."""
        total = sum(self.votes.values())
        return {name: count / total for name, count in self.votes.items()}

    @property
    def majority(self) -> str | None:
        """The class with the most votes; None where two have as many."""
        most = max(self.votes.values())
        first, *others = (name for name, count in self.votes.items() if count == most)
        return None if others else first
