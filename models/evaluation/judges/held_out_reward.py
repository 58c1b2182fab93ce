"""The judge that is a reward model of other prompts and other people's rankings, made in the run and shown to nothing that is tuned."""

from collections.abc import Sequence

from models.errors import ArtifactError
from models.evaluation.judges.judge import Material
from models.network.precision import round_frozen
from models.rewards.scorer import Score, load_scorer
from models.settings.compute import Compute
from models.settings.judges import HeldOutReward


def knows(prompt: str) -> bool:
    """A reward scores completions of any prompt."""
    return True


class _HeldOutReward:
    def __init__(self, score: Score) -> None:
        self.score = score

    def grade(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return self.score(prompts, completions).tolist()

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        return {}


def open_judge(config: HeldOutReward, material: Material, compute: Compute) -> _HeldOutReward:
    """Its grade is the score by the reward model that stage `held-out-reward` trained. Raises ArtifactError where none did."""
    if material.held_out_reward is None:
        raise ArtifactError("evaluation.judges: held_out_reward: no stage of this run has trained it")
    scorer = load_scorer(material.held_out_reward, compute)
    if scorer.network is not None:
        round_frozen(scorer.network, compute)
    return _HeldOutReward(scorer.score_samples)
