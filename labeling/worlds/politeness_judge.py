"""The judge of politeness in the tiny world: a rule, which no model has seen."""

from collections.abc import Sequence

from labeling.worlds.rudeness import is_rude
from models.evaluation.judges.judge import Material
from models.settings.compute import Compute
from models.settings.judges import PolitenessRule


def knows(prompt: str) -> bool:
    """Whatever was asked: only the completion counts."""
    return True


class _PolitenessRule:
    def grade(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return [0.0 if is_rude(text) else 1.0 for text in completions]

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        """`rude`: the share of rude completions."""
        return {"rude": sum(map(is_rude, completions)) / len(completions)}


def open_judge(config: PolitenessRule, material: Material, compute: Compute) -> _PolitenessRule:
    """The rule; it needs nothing."""
    return _PolitenessRule()
