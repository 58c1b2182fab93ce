"""What every training loop shares: device and precision, the optimizer, the learning rate's course, the loop itself."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import nn

from models.distributed.collectives import sum_gradients, sum_over_ranks
from models.distributed.fsdp import whole_tensor
from models.errors import ConfigError, TrainingError
from models.records import StepMetrics
from models.settings.pipeline import Compute, Training
from models.training.checkpoints import Checkpoints, Progress
from models.training.out_of_memory import Room


def pick_device(compute: Compute) -> torch.device:
    """The device that the config asks for. Raises ConfigError for `cuda` without a GPU."""
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("compute.device is cuda, but no CUDA GPU is to be seen; set it to cpu or auto")
    if compute.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(compute.device)


def autocast(compute: Compute) -> contextlib.AbstractContextManager:
    """A context in which forward passes run in the precision that the config asks for; weights stay float32."""
    device = pick_device(compute)
    wants_bfloat16 = compute.precision == "bfloat16" or (compute.precision == "auto" and _has_bfloat16(device))
    if not wants_bfloat16:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _has_bfloat16(device: torch.device) -> bool:
    """Whether there is arithmetic for it; without, it would be imitated, and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)


def decayed_adamw(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (betas .9, .95) with weight decay on matrices only: norms and biases have no reason to shrink."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


def warmup_cosine(step: int, num_steps: int) -> float:
    """Factor on the peak learning rate at `step` (from 0): linear warm-up over 5 % of the steps, cosine down to a tenth."""
    num_warmup = max(1, num_steps // 20)
    if step < num_warmup:
        return (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))


def require_finite(step: int, **values: float) -> None:
    """Raises TrainingError when a number is not finite: later steps could only spread it."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"step {step}: {', '.join(bad)} is not finite; try a lower learning_rate, or compute.precision float32"
        )


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> float:
    """Scales gradients down to `max_norm` where their joint norm is larger, and returns the norm before."""
    return whole_tensor(nn.utils.clip_grad_norm_(list(parameters), max_norm)).item()


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


def descend(
    model: nn.Module,
    lengths: Sequence[int],
    accumulate: Callable[[list[int], Training], dict[str, float]],
    config: Training,
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> Iterator[StepMetrics]:
    """Minimises a loss over rows of so many tokens by AdamW, yielding each step's numbers.

    `accumulate(row numbers, config)` adds the gradient of one batch's loss, or this rank's share of it, to the parameters, and
    returns named numbers, `loss` among them, that are summed over the ranks; `learning_rate` and `grad_norm` (before clipping)
    are added here. With `checkpoints` it goes on from the newest one. Out of memory, `accumulate` is called again with half of
    `microbatch_tokens`.

    Raises TrainingError when loss or gradient is not finite, or half does not fit into memory either.
    """
    optimizer = decayed_adamw(model, config.learning_rate, config.weight_decay)
    num_steps = max(1, round(config.num_epochs * len(lengths) / config.batch_size))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, num_steps))
    batches = EpochBatches(len(lengths), config.batch_size, torch.Generator().manual_seed(seed))
    progress = Progress(checkpoints, model=model, optimizer=optimizer, schedule=schedule, batches=batches)
    room = Room(config, progress.logger)
    yield from progress.steps
    for step in range(len(progress.steps), num_steps):
        rows = next(batches)
        values = room.fitting(sum(lengths[row] for row in rows), partial(accumulate, rows), model)
        values = sum_over_ranks(values)
        sum_gradients(model.parameters())
        grad_norm = clip_gradients(model.parameters(), config.max_grad_norm)
        require_finite(step, loss=values["loss"], grad_norm=grad_norm)
        values |= {"learning_rate": schedule.get_last_lr()[0], "grad_norm": grad_norm}
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        yield progress.add(StepMetrics(step=step, num_steps=num_steps, values=values))
