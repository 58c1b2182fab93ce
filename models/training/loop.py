"""The training loop: batches of an epoch, and AdamW on the gradient of each."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import nn

from models.distributed.collectives import sum_gradients, sum_over_ranks
from models.records import StepMetrics
from models.settings.training import Training
from models.training.checkpoints import Checkpointed, Checkpoints, Part, Trained
from models.training.optimizer import clip_gradients, decayed_adamw, require_finite, warmup_cosine
from models.training.out_of_memory import MemoryBudget


class EpochBatches:
    """Row numbers of one batch after another, for ever: every row once per epoch, newly shuffled each time.

    A batch may reach into the next epoch, so that all have the same size; where there are fewer rows, they repeat in it.
    """

    def __init__(self, num_rows: int, batch_size: int, generator: torch.Generator) -> None:
        self.num_rows, self.batch_size, self.generator = num_rows, batch_size, generator
        self._waiting: list[int] = []

    def __iter__(self) -> "EpochBatches":
        return self

    def __next__(self) -> list[int]:
        while len(self._waiting) < self.batch_size:
            self._waiting += torch.randperm(self.num_rows, generator=self.generator).tolist()
        batch, self._waiting = self._waiting[: self.batch_size], self._waiting[self.batch_size :]
        return batch

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint keeps: the rows of this epoch that wait, and the generator."""
        return {"waiting": self._waiting, "generator": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Goes on from what a checkpoint kept."""
        self._waiting = state_dict["waiting"]
        self.generator.set_state(state_dict["generator"])


def num_steps_of(config: Training, num_rows: int) -> int:
    """Optimizer steps of `num_epochs` over so many rows."""
    return max(1, round(config.num_epochs * num_rows / config.batch_size))


def descend(
    model: nn.Module,
    lengths: Sequence[int],
    accumulate: Callable[[list[int], Training], dict[str, float]],
    config: Training,
    seed: int,
    checkpoints: Checkpoints | None = None,
    **others: Part,
) -> Iterator[StepMetrics]:
    """Minimises a loss over rows of so many tokens by AdamW, yielding each step's numbers.

    `accumulate(row numbers, config)` adds the gradient of one batch's loss, or this rank's share of it, to the parameters, and
    returns named numbers, `loss` among them, that are summed over the ranks; `learning_rate` and `grad_norm` (before clipping)
    are added here. With `checkpoints` it goes on from the newest one, in which `others` are kept, too. Out of memory, `accumulate` is called again with half of
    `microbatch_tokens`.

    Raises TrainingError when loss or gradient is not finite, or half does not fit into memory either.
    """
    optimizer = decayed_adamw(model, config.learning_rate, config.weight_decay)
    num_steps = num_steps_of(config, len(lengths))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, num_steps))
    batches = EpochBatches(len(lengths), config.batch_size, torch.Generator().manual_seed(seed))
    checkpointed = Checkpointed(
        checkpoints, model=Trained(model), optimizer=optimizer, schedule=schedule, batches=batches, **others
    )
    memory = MemoryBudget(config, checkpointed.logger)
    yield from checkpointed.steps
    for step in range(len(checkpointed.steps), num_steps):
        rows = next(batches)
        values = memory.fitting(sum(lengths[row] for row in rows), partial(accumulate, rows), model)
        values = sum_over_ranks(values)
        sum_gradients(model.parameters())
        grad_norm = clip_gradients(model.parameters(), config.max_grad_norm)
        require_finite(step, loss=values["loss"], grad_norm=grad_norm)
        values |= {"learning_rate": schedule.get_last_lr()[0], "grad_norm": grad_norm}
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        yield checkpointed.add(StepMetrics(step=step, num_steps=num_steps, values=values))
