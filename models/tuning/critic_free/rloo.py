"""RLOO: REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, "Back to Basics", section 3.3).

An update: K completions of each prompt; the reward of one is `R = score - beta * KL`, its advantage what R is above the mean R of the
prompt's K - 1 others; then one step or several on `-A log pi(completion)`. A completion is one action: no token has a reward of its own.
"""

from collections.abc import Iterator

from torch import Tensor

from models.network.kl_estimates import kl_k1
from models.records import StepMetrics
from models.settings.generation import SamplingConfig
from models.settings.tuning import RLOOConfig
from models.shapes import Float
from models.tuning.critic_free.minibatch import Losses, by_prompt
from models.tuning.critic_free.tune import tune_without_critic
from models.tuning.online.cost import update_cost as update_cost  # what a tuner may offer
from models.tuning.online.microbatches import Microbatch
from models.tuning.online.rollout import Rollout, clip_scores
from models.tuning.ppo.losses import policy_loss
from models.tuning.tuner import TuningTask


def tune(task: TuningTask, config: RLOOConfig) -> Iterator[StepMetrics]:
    """Writes what `save_tuned` says; yields the updates."""
    yield from tune_without_critic(task, config, losses_of)


def losses_of(rollout: Rollout, kl_coef: float, config: RLOOConfig, sampling: SamplingConfig) -> Losses:
    """Of a completion `-min(rho A, clip(rho, 1 - eps, 1 + eps) A)`, rho the ratio of its probabilities now and when it was sampled.

    Where rho is 1 the gradient is that of `-A log pi`. The clip, as in TRL's RLOOTrainer, acts from an update's second step on.
    """
    kl = kl_k1(rollout.logprobs, rollout.reference_logprobs).masked_fill(~rollout.is_completion, 0.0).sum(dim=1)
    rewards = clip_scores(rollout.scores, config.score_clip) - kl_coef * kl
    advantages = leave_one_out(rewards, config.num_samples)

    def losses(logprobs: Float[Tensor, "R T"], part: Microbatch) -> tuple[Tensor, dict[str, Tensor]]:
        old_logprobs = rollout.logprobs[part.rows].masked_fill(~part.is_completion, 0.0)
        whole, old = logprobs.sum(dim=1), old_logprobs.sum(dim=1)
        loss = policy_loss(whole, old, advantages[part.rows], config.clip)
        is_clipped = ((whole - old).exp() - 1).abs() > config.clip
        return loss, {"loss/policy_avg": loss, "policy/clipfrac_avg": is_clipped.float()}

    return losses


def leave_one_out(rewards: Float[Tensor, " B"], num_samples: int) -> Float[Tensor, " B"]:
    """`A_i = R_i - mean over j != i of R_j`, over the K completions of a prompt. Source: Ahmadian et al. 2024, equation 8."""
    of_prompts = by_prompt(rewards, num_samples)
    others = (of_prompts.sum(dim=1, keepdim=True) - of_prompts) / (num_samples - 1)
    return (of_prompts - others).flatten()
