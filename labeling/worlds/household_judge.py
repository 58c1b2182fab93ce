"""The judge of the tiny world: its rule, which no model has seen."""

from collections.abc import Sequence

from labeling.worlds import household
from models.errors import DataError
from models.evaluation.judges.judge import Material
from models.settings.compute import Compute
from models.settings.judges import HouseholdRule


def knows(prompt: str) -> bool:
    """Whether the prompt is a problem of the tiny world."""
    try:
        household.judge(prompt, "")
    except DataError:
        return False
    return True


class _HouseholdRule:
    def grade(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        ruled = (household.helpfulness(prompt, text) for prompt, text in zip(prompts, completions, strict=True))
        return [float("-inf") if grade is None else grade for grade in ruled]

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        """`helpful`: the share of helpful completions."""
        helpful = [household.is_helpful(prompt, text) for prompt, text in zip(prompts, completions, strict=True)]
        return {"helpful": sum(helpful) / len(helpful)}


def open_judge(config: HouseholdRule, material: Material, compute: Compute) -> _HouseholdRule:
    """The rule; it needs nothing."""
    return _HouseholdRule()
