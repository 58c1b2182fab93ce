"""What PPO learns from a rollout: its lessons, once per batch, and from them the gradient of one minibatch after another."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from models.config import Compute, PPOConfig
from models.losses import policy_loss, value_loss
from models.networks import ValueModel
from models.optimization import autocast
from models.returns import generalized_advantages, kl_k1, shaped_rewards, whiten
from models.rollouts import Rollout
from models.shapes import Float
from models.tokens import TokenBatch, completion_logprobs


@dataclass(frozen=True)
class Lessons:
    """What a rollout is learned from, computed once per batch."""

    rewards: Float[Tensor, "B T"]
    advantages: Float[Tensor, "B T"]
    returns: Float[Tensor, "B T"]


def learn_from(rollout: Rollout, kl_coef: float, config: PPOConfig) -> Lessons:
    """Shaped rewards, advantages (whitened, when asked for) and returns of a rollout."""
    kl = kl_k1(rollout.logprobs, rollout.reference_logprobs)
    rewards = shaped_rewards(kl, rollout.scores, rollout.is_completion, kl_coef)
    advantages, returns = generalized_advantages(
        rewards, rollout.values, rollout.is_completion, config.gamma, config.lam
    )
    if config.whiten_advantages:
        advantages = whiten(advantages, rollout.is_completion)
    return Lessons(rewards, advantages, returns)


def learn_minibatch(
    policy: PreTrainedModel,
    value_model: ValueModel,
    rollout: Rollout,
    lessons: Lessons,
    rows: Sequence[int],
    config: PPOConfig,
    compute: Compute,
) -> tuple[dict[str, float], float]:
    """Adds the gradient of one minibatch to policy and value model.

    The loss, and every number returned (by TRL's names), is a mean over all real tokens of the minibatch, so the microbatch
    size changes nothing. The second result is the largest distance of a probability ratio from 1.
    """
    num_tokens = rollout.is_completion[rows].sum()
    totals: dict[str, float] = defaultdict(float)
    worst_ratio_error = 0.0
    for start in range(0, len(rows), config.microbatch_size):
        part = torch.tensor(rows[start : start + config.microbatch_size], device=rollout.scores.device)
        mask = rollout.is_completion[part]
        batch = TokenBatch(rollout.batch.input_ids[part], rollout.batch.is_token[part])
        with autocast(compute):
            logprobs, _ = completion_logprobs(policy, batch, rollout.num_completion_tokens, config.temperature)
            values = value_model(batch, rollout.num_completion_tokens)
        # before the ratio, not after: padding that overflows in exp would give 0 * inf = nan in the gradient
        logprobs, old_logprobs, values, old_values = (
            tokens.masked_fill(~mask, 0.0)
            for tokens in (logprobs, rollout.logprobs[part], values, rollout.values[part])
        )
        policy_losses = policy_loss(logprobs, old_logprobs, lessons.advantages[part], config.clip)
        value_losses = value_loss(values, old_values, lessons.returns[part], config.value_clip)
        loss = policy_losses + config.value_coef * value_losses
        (loss.masked_fill(~mask, 0.0).sum() / num_tokens).backward()

        with torch.no_grad():
            log_ratio = logprobs - old_logprobs
            ratio = log_ratio.exp()
            for name, values_of_tokens in {
                "loss/policy_avg": policy_losses,
                "loss/value_avg": value_losses,
                "policy/approxkl_avg": 0.5 * log_ratio**2,
                "policy/clipfrac_avg": ((ratio - 1).abs() > config.clip).float(),
                "val/clipfrac_avg": ((values - old_values).abs() > config.value_clip).float(),
                "val/ratio": ratio,
            }.items():
                totals[name] += (values_of_tokens[mask].sum() / num_tokens).item()
            worst_ratio_error = max(worst_ratio_error, (ratio[mask] - 1).abs().max().item())
    return dict(totals), worst_ratio_error


def shuffled_minibatches(config: PPOConfig, generator: torch.Generator) -> Iterator[list[int]]:
    """Row numbers of each minibatch: every epoch all rows of the batch in a new order."""
    size = config.batch_size // config.num_minibatches
    for _ in range(config.num_epochs):
        order = torch.randperm(config.batch_size, generator=generator).tolist()
        for start in range(0, config.batch_size, size):
            yield order[start : start + size]
