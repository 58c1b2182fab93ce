"""The judge that is the reward itself: optimistic, since the policy was tuned to please it."""

from collections.abc import Sequence

from models.evaluation.judges.judge import Material
from models.rewards.scorer import Score, load_scorer
from models.settings.compute import Compute
from models.settings.judges import OwnReward


def knows(prompt: str) -> bool:
    """A reward scores completions of any prompt."""
    return True


class _OwnReward:
    def __init__(self, scores: list[Score]) -> None:
        self.scores = scores

    def grade(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        by_reward = [score(prompts, completions).tolist() for score in self.scores]
        return [sum(of_rewards) / len(of_rewards) for of_rewards in zip(*by_reward, strict=True)]

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        return {}


def open_judge(config: OwnReward, material: Material, compute: Compute) -> _OwnReward:
    """Its grade is the mean score by all rewards: by its own alone each policy would win."""
    return _OwnReward([load_scorer(folder, compute).score_samples for folder in material.rewards])
