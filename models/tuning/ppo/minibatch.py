"""What PPO learns from a rollout: its targets, once per batch, and from them the gradient of one minibatch after another."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from models.distributed.collectives import gather, sum_over_ranks
from models.network.activation_checkpointing import recomputed_activations
from models.network.kl_estimates import kl_k1
from models.network.networks import ValueModel
from models.network.precision import autocast
from models.settings.compute import Compute
from models.settings.tuning import PPOConfig
from models.shapes import Float
from models.tuning.online.microbatches import microbatches
from models.tuning.online.rollout import Rollout, clip_scores
from models.tuning.online.values import CriticNetwork, logprobs_and_values
from models.tuning.ppo.advantages import explained_variance, generalized_advantages, shaped_rewards, whiten
from models.tuning.ppo.losses import masked_mean, policy_loss, value_loss


@dataclass(frozen=True)
class Targets:
    """What a rollout is learned from, computed once per batch."""

    rewards: Float[Tensor, "B T"]
    advantages: Float[Tensor, "B T"]
    returns: Float[Tensor, "B T"]


def values_of(rollout: Rollout) -> Float[Tensor, "B T"]:
    """Those of the critic. Raises ValueError for a rollout that was made without one."""
    if rollout.values is None:
        raise ValueError("PPO learns from rollouts with values")
    return rollout.values


def learning_targets(rollout: Rollout, kl_coef: float, config: PPOConfig) -> Targets:
    """Shaped rewards, advantages (both whitened, when asked for) and returns of a rollout."""
    kl = kl_k1(rollout.logprobs, rollout.reference_logprobs)
    scores = clip_scores(rollout.scores, config.score_clip)
    rewards = shaped_rewards(kl, scores, rollout.is_completion, kl_coef)
    if config.whiten_rewards:
        rewards = whiten(rewards, rollout.is_completion, shift_mean=False)
    advantages, returns = generalized_advantages(
        rewards, values_of(rollout), rollout.is_completion, config.gamma, config.lam
    )
    if config.whiten_advantages:
        advantages = whiten(advantages, rollout.is_completion)
    return Targets(rewards, advantages, returns)


def describe_returns(rollout: Rollout, targets: Targets) -> dict[str, float]:
    """How much of the returns the value model foresaw, and their mean."""
    mask = rollout.is_completion
    return {
        "val/explained_variance": explained_variance(values_of(rollout), targets.returns, mask).item(),
        "val/mean_return": masked_mean(targets.returns, mask).item(),
    }


def learn_minibatch(
    policy: PreTrainedModel,
    value_model: CriticNetwork,
    rollout: Rollout,
    targets: Targets,
    rows: list[int],
    config: PPOConfig,
    temperature: float,
    compute: Compute,
) -> tuple[dict[str, float], float]:
    """Adds the gradient of one minibatch, or of this rank's share of it, to policy and value model.

    The loss, and every number returned (by TRL's names), is a mean over all tokens of the minibatch's completions, so that
    cutting it into microbatches, or over ranks, changes nothing. The second result is the largest distance of a probability ratio from 1.
    """
    device = rollout.scores.device
    num_tokens = rollout.is_completion[rows].sum()
    totals: dict[str, Float[Tensor, ""]] = defaultdict(lambda: torch.zeros((), device=device))
    ratio_error = torch.zeros((), device=device)
    known = (rollout.logprobs, values_of(rollout), targets.advantages, targets.returns)
    own_bodies = [value_model.body] if isinstance(value_model, ValueModel) else []
    for part in microbatches(policy, rollout, rows, config.microbatch_tokens):
        old_logprobs, old_values, advantages, returns = (
            of_tokens[part.rows][part.is_completion] for of_tokens in known
        )
        with autocast(compute), recomputed_activations(compute, policy, *own_bodies):
            logprobs, values = logprobs_and_values(
                policy, value_model, part.batch, part.places, temperature, part.below
            )
        policy_losses = policy_loss(logprobs, old_logprobs, advantages, config.clip)
        value_losses = value_loss(values, old_values, returns, config.value_clip)
        ((policy_losses + config.value_coef * value_losses).sum() / num_tokens * part.counts).backward()
        if not part.counts:
            continue

        with torch.no_grad():
            log_ratio = logprobs - old_logprobs
            ratio = log_ratio.exp()
            for name, of_tokens in {
                "loss/policy_avg": policy_losses,
                "loss/value_avg": value_losses,
                "policy/approxkl_avg": 0.5 * log_ratio**2,
                "policy/clipfrac_avg": ((ratio - 1).abs() > config.clip).float(),
                "val/clipfrac_avg": ((values - old_values).abs() > config.value_clip).float(),
                "val/ratio": ratio,
            }.items():
                totals[name] += of_tokens.sum() / num_tokens
            ratio_error = torch.maximum(ratio_error, (ratio - 1).abs().max())
    numbers = torch.stack([*totals.values(), ratio_error]).tolist()
    return sum_over_ranks(dict(zip(totals, numbers, strict=False))), max(gather(numbers[-1]))
