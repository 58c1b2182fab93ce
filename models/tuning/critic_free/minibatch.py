"""What RLOO and GRPO share: one advantage a completion, and the gradient of a mean over completions."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from models.distributed.collectives import gather, sum_over_ranks
from models.network.activation_checkpointing import recomputed_activations
from models.network.logprobs import token_logprobs
from models.network.precision import autocast
from models.settings.compute import Compute
from models.settings.tuning import CriticFree
from models.shapes import Float
from models.tuning.online.microbatches import Microbatch, microbatches
from models.tuning.online.rollout import Rollout

Losses = Callable[[Float[Tensor, "R T"], Microbatch], tuple[Float[Tensor, " R"], dict[str, Float[Tensor, " R"]]]]
"""From log-probabilities (0 at padding) of R completions to the loss of each, and to numbers of each by name."""


def learn_minibatch(
    policy: PreTrainedModel,
    rollout: Rollout,
    rows: list[int],
    losses: Losses,
    config: CriticFree,
    temperature: float,
    compute: Compute,
) -> tuple[dict[str, float], float]:
    """Adds the gradient of one minibatch, or of this rank's share of it, to the policy.

    Its loss, and the numbers that `losses` gives, are means over the minibatch's completions, `policy/approxkl_avg` and `val/ratio` over
    their tokens, so that cutting it into microbatches, or over ranks, changes nothing. The second result is the largest distance of a
    token's probability ratio from 1.
    """
    device = rollout.scores.device
    num_tokens = rollout.is_completion[rows].sum()
    totals: dict[str, Float[Tensor, ""]] = defaultdict(lambda: torch.zeros((), device=device))
    ratio_error = torch.zeros((), device=device)
    for part in microbatches(policy, rollout, rows, config.microbatch_tokens):
        with autocast(compute), recomputed_activations(compute, policy):
            of_tokens = token_logprobs(policy, part.batch, part.places, temperature, part.below)
        logprobs = torch.zeros(part.is_completion.shape, device=device).masked_scatter(part.is_completion, of_tokens)
        loss, numbers = losses(logprobs, part)
        (loss.sum() / len(rows) * part.counts).backward()
        if not part.counts:
            continue

        with torch.no_grad():
            log_ratio = of_tokens - rollout.logprobs[part.rows][part.is_completion]
            ratio = log_ratio.exp()
            for name, of_completions in numbers.items():
                totals[name] += of_completions.sum() / len(rows)
            totals["policy/approxkl_avg"] += (0.5 * log_ratio**2).sum() / num_tokens
            totals["val/ratio"] += ratio.sum() / num_tokens
            ratio_error = torch.maximum(ratio_error, (ratio - 1).abs().max())
    *means, error = torch.stack([*totals.values(), ratio_error]).tolist()
    return sum_over_ranks(dict(zip(totals, means, strict=True))), max(gather(error))


def by_prompt(scores: Float[Tensor, " B"], num_samples: int) -> Float[Tensor, "P K"]:
    """A row for each prompt: its completions stand together in a batch."""
    return scores.view(-1, num_samples)


def tied_share(scores: Float[Tensor, " B"], num_samples: int) -> float:
    """The share of prompts whose completions all have one score: nothing is learned from these but the KL penalty."""
    groups = by_prompt(scores, num_samples)
    return (groups == groups[:, :1]).all(dim=1).float().mean().item()
