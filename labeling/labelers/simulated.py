"""Simulated labelers: the household rule and a random number generator.

They are simulated and stand in for nobody. They exist so that the machinery can be tried, timed and tested without
taking people's time; a result that rests on them says nothing about what people prefer.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from labeling.worlds import household
from models.records import Completion, Prompt, Ranking
from models.settings.labels import SimulatedLabeler

NOISE_SD = {"careful": 0.25, "noisy": 1.5, "ties": 0.25, "upside_down": 0.25}
"""Standard deviation of what a labeler adds to the helpfulness, in its units."""
STEP = 0.5
"""Perceived values are rounded to this; equal ones are tied."""
TIE_WIDTH = 1.5
"""The `ties` labeler calls equal what differs by less than this from the best of its level."""
FORGETS_MARK = 0.2
"""Probability that the `noisy` labeler puts an unusable completion on the last level instead of marking it."""

VALUES = {"helpfulness": household.helpfulness, "brevity": household.brevity}
"""What a labeler goes by -> how good it makes a completion; None: unusable."""


def open_labeler(config: SimulatedLabeler, criterion: str, seed: int) -> "_SimulatedLabeler":
    """A labeler of the tiny world.

    What it says about a prompt depends on the seed, its name and behaviour, and the prompt with its completions; not on the order
    of the inputs or on who and what else is there. Asked about a prompt that the household rule does not know it raises DataError.
    """
    return _SimulatedLabeler(config, criterion, seed)


class _SimulatedLabeler:
    is_simulated = True
    answers_at_once = True

    def __init__(self, config: SimulatedLabeler, criterion: str, seed: int) -> None:
        self.config, self.criterion, self.seed = config, criterion, seed

    def label(self, prompt: Prompt, completions: Sequence[Completion]) -> Ranking:
        value = VALUES[self.config.goes_by]
        values = {completion.id: value(prompt.text, completion.text) for completion in completions}
        levels, unusable = _rank(self.config, values, generator_of(self.seed, self.config.name, prompt.id))
        return Ranking.of(prompt.id, self.config.name, self.criterion, levels, unusable)


def _rank(
    labeler: SimulatedLabeler, values: dict[str, float | None], rng: np.random.Generator
) -> tuple[list[list[str]], list[str]]:
    """Levels from best to worst in this labeler's view, and the completions marked unusable."""
    noise = rng.normal(0.0, NOISE_SD[labeler.behaviour], size=len(values))
    forgets = (rng.random(len(values)) < FORGETS_MARK) & (labeler.behaviour == "noisy")
    perceived: dict[str, float] = {}
    unusable, forgotten = [], []
    for (name, value), error, forgot in zip(values.items(), noise, forgets, strict=True):
        if value is not None:
            perceived[name] = STEP * round((value + error) / STEP)
        elif forgot:
            forgotten.append(name)
        else:
            unusable.append(name)
    levels = _levels(perceived, TIE_WIDTH if labeler.behaviour == "ties" else STEP)
    if labeler.behaviour == "upside_down":
        levels.reverse()
    if forgotten:
        levels = [*levels[:-1], [*(levels[-1] if levels else []), *forgotten]]
    return levels, unusable


def _levels(perceived: dict[str, float], width: float) -> list[list[str]]:
    """Names from best to worst; a new level begins `width` or more below the best of the present one."""
    levels: list[list[str]] = []
    best = float("inf")
    for name in sorted(perceived, key=perceived.__getitem__, reverse=True):
        if best - perceived[name] >= width:
            best = perceived[name]
            levels.append([])
        levels[-1].append(name)
    return levels


def generator_of(seed: int, labeler: str, prompt_id: str) -> np.random.Generator:
    """What a simulated labeler draws its mistakes from when it is asked about a prompt."""
    identity = json.dumps([seed, labeler, prompt_id]).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(identity).digest()))
