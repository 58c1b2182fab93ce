"""The losses of policy and value model: pure functions of tensors, one value per token. Callers mask and average."""

import torch
from torch import Tensor

from models.shapes import Bool, Float


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean over the places where `mask` is True; padding adds nothing to it, whatever it holds."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum()


def policy_loss(
    logprobs: Float[Tensor, "*shape"],
    old_logprobs: Float[Tensor, "*shape"],
    advantages: Float[Tensor, "*shape"],
    clip: float,
) -> Float[Tensor, "*shape"]:
    """Clipped surrogate of each token: `-min(rho A, clip(rho, 1 - eps, 1 + eps) A)`, `rho = exp(logprob - old)`.

    Source: Schulman et al. 2017 (PPO), equation 7.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def value_loss(
    values: Float[Tensor, "*shape"],
    old_values: Float[Tensor, "*shape"],
    returns: Float[Tensor, "*shape"],
    clip: float,
) -> Float[Tensor, "*shape"]:
    """Clipped squared error of each token: `1/2 max((V - R)^2, (V_old + clamp(V - V_old, ±eps) - R)^2)`.

    Source: the PPO implementation of OpenAI baselines (ppo2), as used by Ziegler et al. 2019.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)
