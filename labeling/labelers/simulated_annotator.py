"""Simulated annotators who say yes or no to each completion: the rules of the tiny world and a random number generator.

As simulated as those that rank (labeling/labelers/simulated.py): they stand in for nobody.
"""

from collections.abc import Callable, Sequence

from labeling.labelers.simulated import generator_of
from labeling.worlds import household
from labeling.worlds.rudeness import is_rude
from models.records import Completion, Prompt, Rating
from models.settings.labels import SimulatedAnnotator

IS_WANTED: dict[str, Callable[[str, str], bool]] = {
    "politeness": lambda prompt, completion: not is_rude(completion),
    "helpfulness": household.is_helpful,
}
"""What an annotator goes by -> whether a completion of a prompt has it."""


def open_labeler(config: SimulatedAnnotator, criterion: str, seed: int) -> "_Annotator":
    """An annotator. What it says of a completion depends on the seed, its name, and the prompt with its completions.

    Going by helpfulness it raises DataError for a prompt that the household rule does not know.
    """
    return _Annotator(config, criterion, seed)


class _Annotator:
    is_simulated = True
    answers_at_once = True

    def __init__(self, config: SimulatedAnnotator, criterion: str, seed: int) -> None:
        self.config, self.criterion, self.seed = config, criterion, seed

    def rate(self, prompt: Prompt, completions: Sequence[Completion]) -> list[Rating]:
        errs = generator_of(self.seed, self.config.name, prompt.id).random(len(completions)) < self.config.error_rate
        has_it = IS_WANTED[self.config.goes_by]
        return [
            Rating.of(
                prompt.id, one.id, self.config.name, self.criterion, wanted=has_it(prompt.text, one.text) != bool(err)
            )
            for one, err in zip(completions, errs, strict=True)
        ]
