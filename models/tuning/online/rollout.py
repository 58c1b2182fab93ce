"""Rollouts: what is known about a batch of sampled completions before anything is learned from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from models.distributed.collectives import gather_rows, share_of
from models.distributed.fsdp import in_step
from models.errors import TrainingError
from models.generation.sampling import Sample
from models.network.kl_estimates import kl_k1, kl_k3
from models.network.logprobs import token_logprobs
from models.network.packing import PackedBatch, cut_by_tokens, reading_at_once, states_below
from models.network.precision import autocast
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.scoring.shaping import MissingEnd
from models.settings.tuning import PolicyGradient
from models.shapes import Bool, Float
from models.tuning.online.upper_layers import StatesBelow, num_layers_below
from models.tuning.online.values import CriticNetwork, evaluate_policy


@dataclass(frozen=True)
class Rollout:
    """What sampling knew about B completions: never changed by learning. T is the longest completion, in tokens.

    `sampler_logprobs` are those that the tokens were drawn with, `logprobs` those of the forward pass that learning uses.
    `disagreement` is the standard deviation of the scores that the members of the reward give, where it has some; `part_scores` are those of
    its parts, by name, without what `missing_end` does; `values` are those of a critic, where there is one.
    `sequences` are the tokens of prompt and completion; of row b the last `is_completion[b].sum()` are the completion's. `below`, where lower layers
    are frozen, is what these made of the tokens: policy and reference both go on from there.
    """

    sequences: list[list[int]]
    is_completion: Bool[Tensor, "B T"]
    sampler_logprobs: Float[Tensor, "B T"]
    logprobs: Float[Tensor, "B T"]
    reference_logprobs: Float[Tensor, "B T"]
    entropy: Float[Tensor, "B T"]
    scores: Float[Tensor, " B"]
    ended: Bool[Tensor, " B"]
    disagreement: Float[Tensor, " B"] | None = None
    part_scores: Mapping[str, Float[Tensor, " B"]] = field(default_factory=dict)
    values: Float[Tensor, "B T"] | None = None
    below: StatesBelow | None = None


@torch.no_grad()
def evaluate_samples(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    critic: CriticNetwork | None,
    scorer: Scorer,
    prompts: Sequence[str],
    samples: Sequence[Sample],
    sequences: list[list[int]],
    config: PolicyGradient,
    temperature: float,
    compute: Compute,
) -> Rollout:
    """Scores, log-probabilities and, with a critic, values of sampled completions, in microbatches without gradient.

    `sequences` are the tokens of each prompt and its completion, as the policy reads them.
    The sampling policy's log-probabilities come from this forward pass, the same as learning uses, so that the first ratio
    is 1 in any precision; those of the decode pass would differ by rounding. A completion that the scorer cannot read (its text may have
    more tokens than were sampled: half a letter becomes three) is scored as an empty one that has not ended.
    """
    lengths = [len(sample.tokens) for sample in samples]
    own_sequences, own_lengths = share_of(sequences), share_of(lengths)
    cuts = list(cut_by_tokens([len(sequence) for sequence in own_sequences], config.microbatch_tokens))
    num_below = num_layers_below(policy, config.trainable_layers)
    parts, states = [], []
    for rows, counts in in_step(policy, cuts):
        batch = PackedBatch.of(own_sequences[rows], policy.device)
        places = batch.last(own_lengths[rows])
        with autocast(compute):
            below = states_below(policy.base_model, batch, num_below) if num_below else None
            logprobs, entropy, *values = evaluate_policy(policy, critic, batch, places, temperature, below)
            reference_logprobs = token_logprobs(reference, batch, places, temperature, below)
        states += [] if below is None else [below.hidden[own] for own in batch.places]
        if counts:
            parts.append((logprobs, reference_logprobs, entropy, *values))
    num_tokens = torch.tensor(lengths, device=policy.device)
    is_completion = torch.arange(max(lengths), device=policy.device) < num_tokens[:, None]
    is_own = share_of(is_completion)
    logprobs, reference_logprobs, entropy, *values = (
        gather_rows(torch.zeros(is_own.shape, device=policy.device).masked_scatter(is_own, torch.cat(part)))
        for part in zip(*parts, strict=True)
    )
    drawn_with = torch.tensor([logprob for sample in samples for logprob in sample.logprobs], device=policy.device)
    texts = scorer.readable(prompts, [sample.text for sample in samples])
    is_ended = [sample.ended and text == sample.text for sample, text in zip(samples, texts, strict=True)]
    ended = torch.tensor(is_ended, device=policy.device)
    with reading_at_once(config.microbatch_tokens):
        told = scorer.score_in_full(share_of(prompts), share_of(texts))
    scores = gather_rows(told.scores).to(policy.device)
    disagreement = None if told.disagreement is None else gather_rows(told.disagreement)
    return Rollout(
        sequences=sequences,
        is_completion=is_completion,
        sampler_logprobs=torch.zeros(is_completion.shape, device=policy.device).masked_scatter(
            is_completion, drawn_with
        ),
        logprobs=logprobs,
        reference_logprobs=reference_logprobs,
        entropy=entropy,
        scores=apply_missing_end(scores, ended, config.missing_end),
        ended=ended,
        disagreement=disagreement,
        part_scores={name: gather_rows(scores) for name, scores in told.of_parts.items()},
        values=values[0] if values else None,
        below=StatesBelow(num_below, states) if num_below else None,
    )


def apply_missing_end(
    scores: Float[Tensor, " B"], ended: Bool[Tensor, " B"], config: MissingEnd
) -> Float[Tensor, " B"]:
    """Scores with completions that were cut off at the length limit marked down (Stiennon et al. 2020 fixed theirs)."""
    low = torch.full_like(scores, config.score)
    return torch.where(ended, scores, low if config.kind == "fixed" else scores + low)


def what_teaches_nothing(rollout: Rollout) -> list[str]:
    """Complaints about a batch from which nothing can be learned: no completion ended, or all have one score."""
    told = []
    if not rollout.ended.any():
        told.append(
            f"none of {len(rollout.ended)} completions ended by itself: is sampling.max_new_tokens too low, or does the model end its "
            "turns with other tokens than base.end_tokens?"
        )
    if rollout.scores.std(unbiased=False) == 0:
        told.append(f"all {len(rollout.scores)} completions have the score {rollout.scores[0]:.3g}")
    return told


def require_finite_rollout(update: int, rollout: Rollout) -> None:
    """Raises TrainingError, saying whose number it is and what to try, when a score or a real token's number is not finite."""
    mask = rollout.is_completion
    told = [
        (
            rollout.scores,
            "reward model gives a score that is not finite; train it again with a lower reward.learning_rate",
        ),
        (
            rollout.reference_logprobs[mask],
            "reference gives a log-probability that is not finite; its weights are damaged or overflow: try another base",
        ),
        (
            rollout.logprobs[mask],
            "policy gives a log-probability that is not finite; try a lower tuning.learning_rate",
        ),
    ]
    if rollout.values is not None:
        complaint = "value model gives a value that is not finite; try a lower tuning.value_learning_rate"
        told.append((rollout.values[mask], complaint))
    for numbers, complaint in told:
        if not torch.isfinite(numbers).all():
            raise TrainingError(f"update {update}: the {complaint}, or compute.precision float32")


def clip_scores(scores: Float[Tensor, " B"], limit: float | None) -> Float[Tensor, " B"]:
    """Scores brought to within `limit` of 0, where one is set: a reward model is least reliable where its score is extreme.

    Source: `score_clip` of TRL 0.11's PPOTrainer.
    """
    return scores if limit is None else scores.clamp(-limit, limit)


def describe_rollout(
    rollout: Rollout, kl_coef: float, score_clip: float | None = None, kl_in_reward: bool = True
) -> dict[str, float]:
    """The numbers of a sampled batch, by TRL's names. KL and entropy are sums over a completion's tokens, in nats.

    `val/padding_share` is what padding would be of the batch as a rectangle; attention alone computes on it.
    `val/sampler_gap` is how far off (nats, the mean over tokens of its size) what the sampler drew with is from what is learned from.
    `objective/score_disagreement` is there where the reward has members, `objective/part_scores/<name>` where it has parts.
    Scores are as they were given; `objective/rlhf_reward`, where the KL penalty is a part of the reward, takes them as they are learned from,
    clipped to `score_clip`.
    """
    lengths = [len(sequence) for sequence in rollout.sequences]
    mask = rollout.is_completion
    k1 = kl_k1(rollout.logprobs, rollout.reference_logprobs).masked_fill(~mask, 0.0).sum(dim=1)
    k3 = kl_k3(rollout.logprobs, rollout.reference_logprobs).masked_fill(~mask, 0.0).sum(dim=1)
    numbers = {
        "objective/kl": k1.mean().item(),
        "objective/kl_k3": k3.mean().item(),
        "objective/kl_coef": kl_coef,
        "objective/entropy": rollout.entropy.masked_fill(~mask, 0.0).sum(dim=1).mean().item(),
        "objective/scores": rollout.scores.mean().item(),
        "objective/scores_std": rollout.scores.std(unbiased=False).item(),
        "val/completion_length": mask.sum(dim=1).float().mean().item(),
        "val/end_rate": rollout.ended.float().mean().item(),
        "val/num_eos_tokens": rollout.ended.sum().item(),
        "val/sampler_gap": (rollout.sampler_logprobs - rollout.logprobs)[mask].abs().mean().item(),
        "val/padding_share": 1 - sum(lengths) / (len(lengths) * max(lengths)),
    }
    if kl_in_reward:
        numbers["objective/non_score_reward"] = -kl_coef * k1.mean().item()
        numbers["objective/rlhf_reward"] = (clip_scores(rollout.scores, score_clip) - kl_coef * k1).mean().item()
    if rollout.disagreement is not None:
        numbers["objective/score_disagreement"] = rollout.disagreement.mean().item()
    numbers |= {f"objective/part_scores/{name}": own.mean().item() for name, own in rollout.part_scores.items()}
    if score_clip is not None:
        numbers["objective/score_clipfrac"] = (rollout.scores.abs() > score_clip).float().mean().item()
    return numbers
