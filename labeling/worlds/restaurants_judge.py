"""The judge of the restaurant world: which facts of the prompt a text states, by a rule that no model has seen."""

from collections.abc import Sequence

from labeling.worlds.restaurants import attributes_of, check_facts
from models.evaluation.judges.judge import Material
from models.settings.compute import Compute
from models.settings.judges import RestaurantFacts


def knows(prompt: str) -> bool:
    """Whether the prompt is a list of this world's attributes."""
    return bool(attributes_of(prompt))


class _RestaurantFacts:
    def grade(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """Minus the number of mistakes, an amount that is given as a level alone being half of one."""
        checked = [check_facts(prompt, text) for prompt, text in zip(prompts, completions, strict=True)]
        return [-(facts.mistakes + facts.vague / 2) for facts in checked]

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        """Of a text: `facts_missing`, `facts_wrong` (with another value, or made up); and the share of `perfect` texts."""
        checked = [check_facts(prompt, text) for prompt, text in zip(prompts, completions, strict=True)]
        return {
            "facts_missing": sum(facts.missing for facts in checked) / len(checked),
            "facts_wrong": sum(facts.wrong + facts.made_up for facts in checked) / len(checked),
            "perfect": sum(facts.mistakes == 0 for facts in checked) / len(checked),
        }


def open_judge(config: RestaurantFacts, material: Material, compute: Compute) -> _RestaurantFacts:
    """The rule; it needs nothing."""
    return _RestaurantFacts()
