"""Draws of the labelers with replacement, and the pairs that each gives: a bootstrap over people (Efron 1979). Loads no torch.

What one person ranked hangs together, so that people are drawn, each with all of it. Whoever is drawn twice is one person in two sessions,
and not two people: two copies of a careless labeler would speak for each other's reliability. In a Bradley-Terry fit the second session
counts like the first; Borda's mean places count everybody once, however often drawn.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.errors import DataError
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.records import Completion, Pair, Ranking
from models.settings.pipeline import ConsensusConfig, PairsConfig

MAX_ATTEMPTS = 100


class Draw(NamedTuple):
    """Labeler -> how often drawn, and the pairs that these people's rankings give."""

    times: dict[str, int]
    pairs: list[Pair]


def draw_labelers(rankings: Sequence[Ranking], generator: np.random.Generator) -> dict[str, int]:
    """As many draws, with replacement, as there are labelers: labeler -> how often drawn, by name; without those never drawn."""
    labelers = sorted({one.labeler for one in rankings})
    drawn = generator.integers(len(labelers), size=len(labelers)).tolist()
    return dict(sorted(Counter(labelers[number] for number in drawn).items()))


def drawn_rankings(rankings: Sequence[Ranking], times: Mapping[str, int]) -> list[Ranking]:
    """All rankings of those drawn, each as often as its labeler was, in sessions of its own after the first time."""
    return [
        one if time == 0 else _in_session(one, f"{one.session}#{time + 1}")
        for one in rankings
        for time in range(times.get(one.labeler, 0))
    ]


def bootstrap_pairs(
    rankings: Sequence[Ranking],
    completions: Sequence[Completion],
    num_draws: int,
    seed: int,
    consensus: ConsensusConfig,
    pairs: PairsConfig,
) -> list[Draw]:
    """So many draws, each with the pairs of a consensus of its own. The first ones are the same however many there are.

    People who agree on nothing are drawn anew, since they give nothing to learn. Raises DataError when that happens `MAX_ATTEMPTS` times
    in a row.
    """
    generators = [np.random.default_rng([seed, number]) for number in range(num_draws)]
    return [_draw(rankings, completions, generator, consensus, pairs) for generator in generators]


def _draw(
    rankings: Sequence[Ranking],
    completions: Sequence[Completion],
    generator: np.random.Generator,
    consensus: ConsensusConfig,
    pairs: PairsConfig,
) -> Draw:
    for _ in range(MAX_ATTEMPTS):
        times = draw_labelers(rankings, generator)
        agreed, _ = agree(drawn_rankings(rankings, times), consensus)
        made, _ = make_pairs(agreed, completions, pairs)
        if any(pair.label > 0.5 for pair in made):
            return Draw(times, made)
    raise DataError(
        f"{MAX_ATTEMPTS} draws of the labelers have agreed on nothing about a training prompt, so that members of an ensemble have "
        "nothing to learn; set reward.kind to pairwise"
    )


def _in_session(one: Ranking, session: str) -> Ranking:
    return Ranking.of(one.prompt_id, one.labeler, one.criterion, one.levels, one.unusable, session, one.degree)
