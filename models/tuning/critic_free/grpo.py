"""GRPO: group relative policy optimization (Shao et al. 2024, "DeepSeekMath", section 4.1).

An update: K completions of each prompt; the advantage of one, and of each of its tokens, is its score's distance from the prompt's mean
score in the prompt's own standard deviations; then one step or several on PPO's clipped loss plus beta times the KL to the reference.
"""

from collections.abc import Iterator

from torch import Tensor

from models.network.kl_estimates import kl_k3
from models.records import StepMetrics
from models.settings.generation import SamplingConfig
from models.settings.tuning import GRPOConfig
from models.shapes import Float
from models.tuning.critic_free.minibatch import Losses, by_prompt
from models.tuning.critic_free.tune import tune_without_critic
from models.tuning.online.cost import update_cost as update_cost  # what a tuner may offer
from models.tuning.online.microbatches import Microbatch
from models.tuning.online.rollout import Rollout, clip_scores
from models.tuning.ppo.losses import policy_loss
from models.tuning.tuner import TuningTask


def tune(task: TuningTask, config: GRPOConfig) -> Iterator[StepMetrics]:
    """Writes what `save_tuned` says; yields the updates."""
    yield from tune_without_critic(task, config, losses_of)


def losses_of(rollout: Rollout, kl_coef: float, config: GRPOConfig, sampling: SamplingConfig) -> Losses:
    """Of a completion the mean over its tokens of `-min(rho A, clip(rho, 1 - eps, 1 + eps) A) + beta k3`, k3 taken at the policy as it is now.

    Without `length_norm` the sum divided by `sampling.max_new_tokens`. Sources: Shao et al. 2024, equations 3 and 4; Liu et al. 2025.
    """
    scores = clip_scores(rollout.scores, config.score_clip)
    advantages = group_advantages(scores, config.num_samples, config.scale_by_std)

    def losses(logprobs: Float[Tensor, "R T"], part: Microbatch) -> tuple[Tensor, dict[str, Tensor]]:
        is_completion = part.is_completion
        lengths = is_completion.sum(dim=1)
        old, reference = (
            of_tokens[part.rows].masked_fill(~is_completion, 0.0)
            for of_tokens in (rollout.logprobs, rollout.reference_logprobs)
        )
        divisor = lengths if config.length_norm else sampling.max_new_tokens
        surrogate = policy_loss(logprobs, old, advantages[part.rows, None].expand_as(old), config.clip)
        policy = surrogate.masked_fill(~is_completion, 0.0).sum(dim=1) / divisor
        kl = kl_k3(logprobs, reference).sum(dim=1) / divisor
        is_clipped = (((logprobs - old).exp() - 1).abs() > config.clip).sum(dim=1) / lengths
        return policy + kl_coef * kl, {"loss/policy_avg": policy, "loss/kl_avg": kl, "policy/clipfrac_avg": is_clipped}

    return losses


def group_advantages(scores: Float[Tensor, " B"], num_samples: int, scale_by_std: bool) -> Float[Tensor, " B"]:
    """`A_i = (s_i - mean s) / (std s + 1e-4)` over the K completions of a prompt, std with divisor K - 1; without `scale_by_std` the numerator.

    Sources: Shao et al. 2024, section 4.1.2; the 1e-4 of TRL's GRPOTrainer; Liu et al. 2025 ("Understanding R1-Zero-like training").
    """
    of_prompts = by_prompt(scores, num_samples)
    centred = of_prompts - of_prompts.mean(dim=1, keepdim=True)
    if scale_by_std:
        centred = centred / (of_prompts.std(dim=1, keepdim=True) + 1e-4)
    return centred.flatten()
