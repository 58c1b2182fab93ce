"""A plain Python function as reward, for the recipe `function`."""

import re
from collections.abc import Sequence


def reward(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """The share of the prompt's different words that the completion takes up; knows nothing of what was asked."""
    return [_share(_words(prompt), _words(text)) for prompt, text in zip(prompts, completions, strict=True)]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _share(asked: set[str], said: set[str]) -> float:
    return len(asked & said) / max(1, len(asked))
