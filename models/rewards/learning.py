"""The loop of the rewards that learn from texts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

from torch import Tensor

from models.distributed.collectives import share_of
from models.distributed.fsdp import distribute, in_step
from models.network.activation_checkpointing import recomputed_activations
from models.network.lora import learning_through_adapter
from models.network.networks import RewardModel
from models.network.packing import cut_by_tokens
from models.network.precision import autocast, pick_device
from models.records import StepMetrics
from models.settings.compute import Compute
from models.settings.training import Training
from models.training.checkpoints import Checkpoints
from models.training.loop import descend


@dataclass(frozen=True)
class Row:
    """Texts as tokens, prompt and completion, that are learned from at once, and count once."""

    sequences: list[list[int]]

    @property
    def num_tokens(self) -> int:
        """Of all its texts."""
        return sum(map(len, self.sequences))


RowType = TypeVar("RowType", bound=Row)


class Losses(NamedTuple):
    """Of some rows: the sum of their losses, and how much of what was said of them the network gets right (of each row a share, or of all rows a number)."""

    loss: Tensor
    right: float


def learn_rows(
    reward_model: RewardModel,
    rows: Sequence[RowType],
    losses: Callable[[Sequence[RowType]], Losses],
    config: Training,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
    num_said: Callable[[Sequence[RowType]], int] = len,
) -> Iterator[StepMetrics]:
    """Trains the reward model in place on the mean loss of a row; yields each step's `loss` and, where `num_said` of its rows is not 0, `accuracy`: right of so many.

    Dropout stays off. With `lora` its body learns through an adapter that is merged into it at the end. With `checkpoints`, training
    goes on from the newest one.
    """

    def accumulate(numbers: list[int], config: Training) -> dict[str, float]:
        batch = [rows[number] for number in numbers]
        loss, num_right, own = 0.0, 0.0, share_of(batch)
        cuts = list(cut_by_tokens([row.num_tokens for row in own], config.microbatch_tokens))
        for part, counts in in_step(reward_model, cuts):
            with autocast(compute), recomputed_activations(compute, reward_model):
                found = losses(own[part])
            (found.loss / len(batch) * counts).backward()
            loss += found.loss.item() / len(batch) * counts
            num_right += found.right * counts
        said = num_said(batch)
        return {"loss": loss, "accuracy": num_right / said} if said else {"loss": loss}

    reward_model.to(pick_device(compute)).eval()
    lengths = [row.num_tokens for row in rows]
    with learning_through_adapter(reward_model.model.base_model, config.lora, seed, "reward model"):
        distribute(reward_model, compute)
        yield from descend(reward_model, lengths, accumulate, config, seed, checkpoints)


def sequences_of(rows: Sequence[Row]) -> list[list[int]]:
    """The texts of the rows, in their order."""
    return list(chain.from_iterable(row.sequences for row in rows))
