"""What must be so before anything is learned: one policy samples and learns, and it is the reference."""

import math

import torch

from models.errors import TrainingError
from models.network.precision import autocast, pick_device
from models.settings.compute import Compute


def _is_rounded(compute: Compute) -> bool:
    """Whether networks compute in 16 bits."""
    with autocast(compute):
        return torch.is_autocast_enabled(pick_device(compute).type)


def _tolerance(compute: Compute) -> float:
    """How far two forward passes over differently composed batches may differ, by rounding alone, in the mean log-probability."""
    return 0.1 if _is_rounded(compute) else 1e-3


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


def require_ratio_one(ratio_error: float, approx_kl: float, compute: Compute) -> None:
    """Before the first optimizer step, learning must see the very probabilities that were sampled from.

    `ratio_error`: the largest distance of a token's probability ratio from 1; `approx_kl`: half the mean square of its logarithm. In 16 bits
    a token about which the network is unsure may be off by a tenth, and few tokens are: what reads otherwise (dropout, another
    temperature, padding, positions) moves many of them.
    """
    largest, typical = (0.5, 0.05) if _is_rounded(compute) else (1e-3, 1e-3)
    root_mean_square = math.sqrt(2 * approx_kl)
    if not (ratio_error <= largest and root_mean_square <= typical):
        raise TrainingError(
            f"a probability ratio of the first minibatch is off 1 by {ratio_error:.4g} (allowed: {largest}), its logarithm by {root_mean_square:.4g} in "
            f"the root mean square (allowed: {typical}): sampling and learning compute log-probabilities differently (dropout, temperature, padding or positions)"
        )
