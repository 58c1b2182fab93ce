"""Which side of the split a prompt is on: a pure function of its text and the seed."""

import hashlib

from models.records import Split
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
