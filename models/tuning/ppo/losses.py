"""The losses: pure functions of tensors, one value per pair or token. Callers mask, weigh and average."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.shapes import Bool, Float


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean over the places where `mask` is True; padding adds nothing to it, whatever it holds."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum()


def pairwise_loss(
    chosen: Float[Tensor, " N"],
    rejected: Float[Tensor, " N"],
    label: Float[Tensor, " N"],
    margin: Float[Tensor, " N"],
) -> Float[Tensor, " N"]:
    """Logistic loss of each preference pair, in nats.

    With `d = chosen - rejected - margin` and label p (1 = strict, 1/2 = tie): `-p log sigmoid(d) - (1-p) log sigmoid(-d)`.
    Sources: Ouyang et al. 2022, equation 1 (p = 1); Touvron et al. 2023 (LLaMA-2), equation 2 (margin).
    """
    difference = chosen - rejected - margin
    return -label * F.logsigmoid(difference) - (1 - label) * F.logsigmoid(-difference)


def centering_penalty(chosen: Float[Tensor, " N"], rejected: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """`(s_chosen + s_rejected)^2`: the pairwise loss leaves the mean score free, this ties it to zero.

    Source: Eisenstein et al. 2023, "Helping or Herding?", section 2.
    """
    return (chosen + rejected) ** 2


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
