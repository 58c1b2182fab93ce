"""Simulated annotators who say of each completion whether it is rude: the rule of the tiny world and a random number generator.

As simulated as those that rank (labeling/labelers/simulated.py): they stand in for nobody.
"""

from collections.abc import Sequence

from labeling.labelers.simulated import generator_of
from labeling.worlds.rudeness import is_rude
from models.records import Completion, Prompt, Rating
from models.settings.labels import SimulatedPoliteness


def open_labeler(config: SimulatedPoliteness, criterion: str, seed: int) -> "_Annotator":
    """An annotator. What it says of a completion depends on the seed, its name, and the prompt with its completions."""
    return _Annotator(config, criterion, seed)


class _Annotator:
    is_simulated = True
    answers_at_once = True

    def __init__(self, config: SimulatedPoliteness, criterion: str, seed: int) -> None:
        self.config, self.criterion, self.seed = config, criterion, seed

    def rate(self, prompt: Prompt, completions: Sequence[Completion]) -> list[Rating]:
        errs = generator_of(self.seed, self.config.name, prompt.id).random(len(completions)) < self.config.error_rate
        return [
            Rating.of(prompt.id, one.id, self.config.name, self.criterion, wanted=is_rude(one.text) == bool(err))
            for one, err in zip(completions, errs, strict=True)
        ]
