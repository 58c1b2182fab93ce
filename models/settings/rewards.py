"""The settings of rewards: a kind for each way to give a completion its score."""

from typing import Annotated, Literal

from pydantic import Field

from models.settings.base import Count, Kind, OneOf, Positive
from models.settings.training import Training


class RewardKind(Kind):
    """What scores completions. Its module promises `train` and `load` (models/rewards/scorer.py)."""


class PairwiseReward(RewardKind, Training):
    """A reward model with one scalar: pairwise logistic loss, all pairs of a prompt in one batch element."""

    code = "models.rewards.pairwise"
    kind: Literal["pairwise"] = "pairwise"

    num_epochs: Positive = 2.0
    """Passes over the prompts. InstructGPT trained one; small models take more."""
    batch_size: Count = 16
    """Prompts per optimizer step."""
    learning_rate: Positive = 1e-4
    """Peak learning rate of AdamW; linear warm-up over 5 % of the steps, then cosine to a tenth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay on matrices."""
    centering: Annotated[float, Field(ge=0)] = 0.01
    """Weight of mean (s_chosen + s_rejected)^2, which keeps scores near zero (Eisenstein et al. 2023); 0 = off."""


Reward = Annotated[RewardKind, OneOf(RewardKind, default="pairwise")]
