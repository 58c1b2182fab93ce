"""Texts, demonstrations and prompts of the tiny world."""

from pathlib import Path

from labeling.sources.bad_rows import BadRows
from labeling.worlds import household
from labeling.worlds.household_phrases import (
    INSTRUCTIONS as INSTRUCTIONS,  # for those who rank completions of its prompts
)
from models.settings.sources import Household


def texts(source: Household, seed: int, feedback: Path | None) -> list[str]:
    """Texts about household problems."""
    return household.texts(source.num_rows, seed)


def demonstrations(source: Household, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """Problems with advice of mixed quality."""
    return household.demonstrations(source.num_rows, seed)


def prompts(source: Household, seed: int, bad: BadRows) -> list[str]:
    """Problems."""
    return household.prompts(source.num_rows, seed)
