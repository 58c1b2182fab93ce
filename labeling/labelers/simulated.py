"""Simulated labelers: the household rule and a random number generator.

They are simulated and stand in for nobody. They exist so that the machinery can be tried, timed and tested without
taking people's time; a result that rests on them says nothing about what people prefer.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from labeling.worlds import household
from models.errors import DataError
from models.records import Completion, Prompt, Ranking
from models.settings.labels import SimulatedLabeler, SimulatedLabels

NOISE_SD = {"careful": 0.25, "noisy": 1.5, "ties": 0.25, "upside_down": 0.25}
"""Standard deviation of what a labeler adds to the helpfulness, in its units."""
STEP = 0.5
"""Perceived values are rounded to this; equal ones are tied."""
TIE_WIDTH = 1.5
"""The `ties` labeler calls equal what differs by less than this from the best of its level."""
FORGETS_MARK = 0.2
"""Probability that the `noisy` labeler puts an unusable completion on the last level instead of marking it."""


def rank_completions(
    config: SimulatedLabels, prompts: Sequence[Prompt], completions: Sequence[Completion], seed: int
) -> list[Ranking]:
    """One ranking per prompt and labeler, in the order of the prompts and, within a prompt, of the configured labelers.

    What a labeler says about a prompt depends on the seed, the labeler's name and behaviour, and the prompt with its
    completions; not on the order of the inputs or on who and what else is there. Raises DataError for a prompt with
    fewer than two completions or that the household rule does not know, and for a completion of no given prompt.
    """
    completions_of: dict[str, list[Completion]] = {prompt.id: [] for prompt in prompts}
    for completion in completions:
        if completion.prompt_id not in completions_of:
            raise DataError(
                f"completion {completion.id} belongs to {completion.prompt_id}, which is not among the prompts"
            )
        completions_of[completion.prompt_id].append(completion)
    rankings = []
    for prompt in prompts:
        shown = sorted(completions_of[prompt.id], key=lambda completion: (completion.index, completion.id))
        if len(shown) < 2:
            raise DataError(f"prompt {prompt.id} has {len(shown)} completion(s); ranking needs at least two")
        values = {completion.id: household.helpfulness(prompt.text, completion.text) for completion in shown}
        for labeler in config.labelers:
            levels, unusable = _rank(labeler, values, _generator(seed, labeler.name, prompt.id))
            rankings.append(Ranking.of(prompt.id, labeler.name, config.criterion, levels, unusable))
    return rankings


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


def _generator(seed: int, labeler: str, prompt_id: str) -> np.random.Generator:
    identity = json.dumps([seed, labeler, prompt_id]).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(identity).digest()))
