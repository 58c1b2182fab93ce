"""What must be so before anything is learned: one policy samples and learns, and it is the reference."""

import torch

from models.errors import TrainingError
from models.network.precision import autocast, pick_device
from models.settings.compute import Compute


def _tolerance(compute: Compute) -> float:
    """How far two forward passes over differently composed batches may differ, by rounding alone, in log-probability."""
    with autocast(compute):
        return 0.1 if torch.is_autocast_enabled(pick_device(compute).type) else 1e-3


def require_equal_start(kl_nats: float, compute: Compute) -> None:
    """Policy and reference are the same network before the first update: any KL between them is a defect."""
    if not abs(kl_nats) <= _tolerance(compute):
        raise TrainingError(
            f"KL before the first update is {kl_nats:.4g} nats instead of 0: the reference is not the policy"
        )


def require_one_policy(gap_nats: float, compute: Compute) -> None:
    """The network that samples is the one that learns, but for rounding."""
    tolerance = _tolerance(compute)
    if not gap_nats <= tolerance:
        raise TrainingError(
            f"the sampler drew with log-probabilities that are {gap_nats:.4g} nats off those that are learned from (allowed: "
            f"{tolerance}): the network samples otherwise than it learns; try compute.precision float32, or another base"
        )


def require_ratio_one(ratio_error: float, compute: Compute) -> None:
    """Before the first optimizer step, learning must see the very probabilities that were sampled from."""
    tolerance = _tolerance(compute)
    if not ratio_error <= tolerance:
        raise TrainingError(
            f"a probability ratio of the first minibatch is off 1 by {ratio_error:.4g} (allowed: {tolerance}): "
            "sampling and learning compute log-probabilities differently (dropout, temperature, padding or positions)"
        )
