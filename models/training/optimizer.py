"""The optimizer of a training loop, its learning rate's course, and what must hold before it steps."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from models.distributed.fsdp import whole_tensor
from models.errors import TrainingError


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
