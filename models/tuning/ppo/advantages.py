"""From scores to advantages: shaped rewards, generalized advantage estimation, whitening.

Pure functions over B rollouts of T completion tokens; `is_completion` is True at real tokens (the end token counts), which
stand together at the left. Nothing at padding enters any number.
"""

import torch
from torch import Tensor

from models.shapes import Bool, Float
from models.tuning.ppo.losses import masked_mean


def shaped_rewards(
    kl: Float[Tensor, "B T"],
    scores: Float[Tensor, " B"],
    is_completion: Bool[Tensor, "B T"],
    kl_coef: float,
) -> Float[Tensor, "B T"]:
    """Reward of each token: `r_t = -beta kl_t + [t = last] score`; zero at padding.

    Source: Ziegler et al. 2019, equation 2; per token as in Stiennon et al. 2020.
    """
    rewards = -kl_coef * kl.masked_fill(~is_completion, 0.0)
    last = is_completion.sum(dim=1) - 1
    rows = torch.arange(len(scores), device=scores.device)
    rewards[rows, last] += scores
    return rewards


def generalized_advantages(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    is_completion: Bool[Tensor, "B T"],
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Advantages and returns of each token; zero at padding.

    `delta_t = r_t + gamma V_{t+1} - V_t`, `A_t = delta_t + gamma lambda A_{t+1}`, `R_t = A_t + V_t`, with V after the last
    real token 0. Source: Schulman et al. 2016, equations 11 and 16.
    """
    values = values.masked_fill(~is_completion, 0.0)
    advantages = torch.zeros_like(rewards)
    next_value = torch.zeros_like(rewards[:, 0])
    next_advantage = torch.zeros_like(next_value)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = (delta + gamma * lam * next_advantage).masked_fill(~is_completion[:, t], 0.0)
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return advantages, advantages + values


def whiten(values: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], shift_mean: bool = True) -> Float[Tensor, "B T"]:
    """Values shifted and scaled to mean 0 and variance 1 over the places where `mask` is True; zero elsewhere.

    `(v - mean) / sqrt(variance + 1e-8)`; without `shift_mean` the mean is added again, as rewards are whitened: what every token
    gains or loses on average is not taken from it. Source: `whiten` in utils/core.py of the code of Ziegler et al. 2019.
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened if shift_mean else whitened + mean).masked_fill(~mask, 0.0)


def explained_variance(
    values: Float[Tensor, "B T"], returns: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """`1 - Var(R - V) / Var(R)` over real tokens: 1 = the value model foresees every return, 0 = no better than a constant."""
    residual, target = (returns - values)[mask], returns[mask]
    return 1 - residual.var(unbiased=False) / target.var(unbiased=False).clamp(min=1e-8)
