"""Several pairwise reward models as one reward: what a policy can find in the mistakes of one, the others do not all share.

Members differ in the labelers that they learn from (models/preferences/bootstrap.py), in the order of the prompts, and in the head that
they begin with. Each is an ordinary checkpoint in a folder of its own, `member-1` and so on, normalised on the same completions; beside
them lies how their scores become one.

Source: Coste et al. 2023, "Reward Model Ensembles Help Mitigate Overoptimization".
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from models.distributed.collectives import this_rank
from models.distributed.fsdp import whole
from models.errors import DataError
from models.network.architecture import context_length
from models.network.networks import RewardModel, load_policy
from models.network.precision import pick_device, round_frozen
from models.records import Record, StepMetrics
from models.rewards import pairwise
from models.rewards.pairwise import (
    MIN_STD,
    Comparison,
    fix_normalisation,
    group_pairs,
    learn_comparisons,
    sequences_of,
)
from models.rewards.scorer import Members, RewardTask, Scorer
from models.settings.compute import Compute
from models.settings.rewards import EnsembleReward
from models.shapes import Float
from models.training.checkpoints import Checkpointed, Trained
from models.training.loop import num_steps_of

COMBINATION_FILE = "combination.json"

AGGREGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "mean": lambda scores, _: scores.mean(dim=0),
    "minimum": lambda scores, _: scores.amin(dim=0),
    "mean_minus_variance": lambda scores, weight: scores.mean(dim=0) - weight * scores.var(dim=0, unbiased=False),
}
"""Scores of M members, [M, N], and what their variance weighs -> [N] (Coste et al. 2023: mean, worst-case and uncertainty-weighted optimization)."""


class Combination(Record):
    """How the members' normalised scores become one, which has mean 0 and standard deviation 1 over the training completions.

    `logit_std` is the standard deviation, over these, of the mean of the members' logits.
    """

    num_members: int
    aggregate: str
    variance_weight: float
    mean: float
    std: float
    logit_std: float

    @classmethod
    def of(cls, logits: Float[Tensor, "M N"], config: EnsembleReward) -> "Combination":
        """From the logits that the members give to the training completions."""
        spread = logits.std(dim=1, unbiased=False, keepdim=True).clamp(min=MIN_STD)
        scores = (logits - logits.mean(dim=1, keepdim=True)) / spread
        together = AGGREGATES[config.aggregate](scores, config.variance_weight)
        return cls(
            num_members=len(logits),
            aggregate=config.aggregate,
            variance_weight=config.variance_weight,
            mean=together.mean().item(),
            std=max(together.std(unbiased=False).item(), MIN_STD),
            logit_std=logits.mean(dim=0).std(unbiased=False).item(),
        )

    def combine(self, scores: Float[Tensor, "M N"]) -> Float[Tensor, " N"]:
        """One normalised score for each completion."""
        return (AGGREGATES[self.aggregate](scores, self.variance_weight) - self.mean) / self.std


def train(task: RewardTask, config: EnsembleReward) -> Iterator[StepMetrics]:
    """Trains one member after the other and writes them; yields their steps, numbered through. The number of the member is one of a step's.

    A member that is finished is kept with the checkpoints, and not trained again after a kill. Raises DataError unless there is a draw of
    the labelers for each member.
    """
    if len(task.draws) != config.num_members:
        raise DataError(
            f"{config.num_members} members learn from as many draws of the labelers; {len(task.draws)} were made"
        )
    tokenizer, together, draws = read_comparisons(task, config.margin_coef)
    sequences = sequences_of(together)
    num_steps = sum(num_steps_of(config, len(comparisons)) for comparisons in draws)
    num_taken, logits = 0, []
    for number, comparisons in enumerate(draws, start=1):
        seed = int(np.random.default_rng([task.seed, number]).integers(2**63))
        member = RewardModel.start(task.base, seed, zero_head=False)
        for step in train_member(task, config, number, member, comparisons, seed):
            yield StepMetrics(step=num_taken, num_steps=num_steps, values=step.values | {"member": number})
            num_taken += 1
        member = whole(member)
        logits.append(fix_normalisation(member, sequences, config, task.compute).cpu())
        member.save(task.folder / f"member-{number}", tokenizer)
    if this_rank() == 0:
        combination = Combination.of(torch.stack(logits), config)
        (task.folder / COMBINATION_FILE).write_text(combination.model_dump_json(indent=1), encoding="utf-8")


def read_comparisons(
    task: RewardTask, margin_coef: float
) -> tuple[PreTrainedTokenizerBase, list[Comparison], list[list[Comparison]]]:
    """The tokenizer, the comparisons of all labelers together, and those of each draw."""
    policy, tokenizer = load_policy(task.base)
    longest = context_length(policy.config)
    together, *draws = (
        group_pairs(tokenizer, task.prompts, task.completions, pairs, longest, margin_coef)
        for pairs in (task.pairs, *task.draws)
    )
    return tokenizer, together, draws


def train_member(
    task: RewardTask,
    config: EnsembleReward,
    number: int,
    member: RewardModel,
    comparisons: Sequence[Comparison],
    seed: int,
) -> Iterator[StepMetrics]:
    """Trains the member in place, or puts into it what it was when it was finished."""
    learning, kept = (task.checkpoints.within(f"{name}-{number}") for name in ("member", "finished"))
    finished = Checkpointed(kept, member=Trained(member))
    if finished.steps:
        member.to(pick_device(task.compute))
        yield from finished.steps
        return
    taken = []
    for step in learn_comparisons(member, comparisons, config, task.compute, seed, learning):
        taken.append(step)
        yield step
    kept.save(taken, finished.parts)
    learning.discard()


def load(folder: Path, compute: Compute) -> Scorer:
    """What `train` wrote. A value model may start from the first member."""
    combination = Combination.model_validate_json((folder / COMBINATION_FILE).read_text(encoding="utf-8"))
    scorers = [pairwise.load(folder / f"member-{number + 1}", compute) for number in range(combination.num_members)]
    for scorer in scorers[1:]:  # no value model starts from these
        round_frozen(scorer.network, compute)

    def score(prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        return torch.stack([scorer.score(prompts, completions) for scorer in scorers])

    members = Members(score, combination.combine)
    first = scorers[0]
    return Scorer(members, combination.logit_std, first.network, first.tokenizer, members, reads=first.reads)
