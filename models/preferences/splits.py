"""Which side of the split a prompt is on: the one it stands on already, else a pure function of its text and the seed."""

import hashlib
from collections.abc import Iterable, Mapping

from models.records import Prompt, Split
from models.settings.pipeline import SplitConfig


def assign_split(prompt: str, config: SplitConfig, seed: int) -> Split:
    """The split of a prompt; outer white space does not count. The same text always falls on the same side."""
    digest = hashlib.sha256(f"{seed}:{prompt.strip()}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < config.test:
        return "test"
    if place < config.test + config.validation:
        return "validation"
    return "train"


def sides_of(prompts: Iterable[Prompt]) -> dict[str, Split]:
    """Text -> side of prompts whose side is decided, as `side_of` wants it."""
    return {prompt.text.strip(): prompt.split for prompt in prompts}


def side_of(prompt: str, known: Mapping[str, Split], config: SplitConfig, seed: int) -> Split:
    """The side that is known of a prompt's text, else the one that `assign_split` gives; outer white space does not count."""
    return known.get(prompt.strip()) or assign_split(prompt, config, seed)
