"""Scalar regression onto the strengths of completions: a reward model that is told by how much one is better, not only which.

rankings -> Elo ratings (or Bradley-Terry strengths) of a prompt's completions -> one scalar a completion. Strengths t are in natural units:
sigmoid(t_i - t_j) is the probability that a labeler puts i above j, and so becomes sigmoid(s_i - s_j) of the logits s.

Loss of a prompt, mean over its pairs (i, j): `((s_i - s_j) - (t_i - t_j))^2 / spread`, `spread` the mean of (t_i - t_j)^2 over all
training prompts. So 1 is what equal scores cost, and what is left of it is the share of the targets that is not explained. Over all pairs of
K completions the sum of squares is K times that of the residuals r = s - t around their mean: `sum_{i<j} (r_i - r_j)^2 =
K sum_i (r_i - mean r)^2`. That is least squares on the scores, up to one constant a prompt. The constant is left out because rankings do not
tell it: completions of different prompts never meet, so that every prompt's ratings have one and the same mean, whether its completions
are all good or all bad. docs/decisions/0046 has more.

Sources: Elo 1978, "The Rating of Chessplayers"; Bradley & Terry 1952.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor
from transformers import AutoTokenizer

from models.errors import DataError
from models.network.architecture import context_length
from models.network.networks import RewardModel
from models.preferences.consensus import agree
from models.preferences.elo import POINTS, elo_ratings, head_to_heads
from models.records import Ranking, StepMetrics
from models.rewards import pairwise
from models.rewards.pairwise import Comparison, group_pairs, train_reward
from models.rewards.scorer import RewardTask
from models.settings.pipeline import ConsensusConfig
from models.settings.rewards import RegressionReward
from models.shapes import Float

load = pairwise.load


def train(task: RewardTask, config: RegressionReward) -> Iterator[StepMetrics]:
    """Trains a reward model on the body of the base and writes it, a checkpoint like a pairwise one; yields the steps.

    Raises DataError where every two completions are equally strong.
    """
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    reward_model = RewardModel.start(task.base, task.seed)
    length = context_length(reward_model.model.config)
    strength = strengths_of(task.rankings, config.targets)
    pairs = [
        one.model_copy(update={"margin": strength.get(one.chosen, 0.0) - strength.get(one.rejected, 0.0)})
        for one in task.pairs
    ]
    comparisons = group_pairs(tokenizer, task.prompts, task.completions, pairs, length)
    spread = spread_of(comparisons)

    def pair_loss(chosen: Tensor, rejected: Tensor, label: Tensor, margin: Tensor) -> Tensor:
        return squared_error(chosen, rejected, margin, spread)

    settings = (config, task.compute, task.seed, task.checkpoints)
    yield from train_reward(reward_model, comparisons, *settings, pair_loss)
    reward_model.save(task.folder, tokenizer)


def strengths_of(rankings: Sequence[Ranking], targets: str) -> dict[str, float]:
    """Completion -> its strength among those of its prompt, as the logarithm of odds. One that met no other has none: it stands at their mean, 0."""
    if targets == "elo":
        matches = head_to_heads(rankings)
        return {one.name: one.rating / POINTS for one in elo_ratings(matches, anchor=0.0)} if matches else {}
    agreed, _ = agree(rankings, ConsensusConfig(method="bradley_terry"))
    return {name: strength for one in agreed for name, strength in one.strengths.items()}


def spread_of(comparisons: Sequence[Comparison]) -> float:
    """The mean over the prompts of the weighted mean of margin^2: the loss of equal scores. Raises DataError where it is 0."""
    spread = [np.average(np.square(one.margin), weights=one.weight) for one in comparisons]
    if not np.any(spread):
        raise DataError(
            "reward.kind regression: the rankings make all completions of each training prompt equally strong"
        )
    return float(np.mean(spread))


def squared_error(
    chosen: Float[Tensor, " N"], rejected: Float[Tensor, " N"], margin: Float[Tensor, " N"], spread: float
) -> Float[Tensor, " N"]:
    """`(chosen - rejected - margin)^2 / spread` of each pair."""
    return (chosen - rejected - margin) ** 2 / spread
