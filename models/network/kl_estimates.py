"""Estimates of KL(pi || pi_ref) from sampled tokens: pure functions of log-probabilities, one value per token."""

import torch
from torch import Tensor

from models.shapes import Float


def kl_k1(logprobs: Float[Tensor, "*shape"], reference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`log pi - log pi_ref` at the sampled tokens: the unbiased estimate of KL(pi || pi_ref), in nats; may be negative.

    Source: Schulman 2020, "Approximating KL divergence", estimator k1.
    """
    return logprobs - reference


def kl_k3(logprobs: Float[Tensor, "*shape"], reference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`exp(-k1) - 1 + k1`: unbiased too, never negative, less noisy near zero. Source: Schulman 2020, estimator k3."""
    log_ratio = reference - logprobs
    return torch.expm1(log_ratio) - log_ratio
