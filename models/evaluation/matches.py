"""Base and policy complete the same held-out prompts: what each wrote, how it scores, and how far the policy has moved."""

import math
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.errors import TrainingError
from models.evaluation.metrics import Match, best_of_n_kl_bound
from models.evaluation.writer import Writer
from models.generation.sampling import Sample
from models.network.dialogue import encode_prompt
from models.network.kl_estimates import kl_k1
from models.network.logprobs import token_logprobs
from models.network.packing import PackedBatch, read_in_parts
from models.rewards.scorer import Score
from models.settings.generation import SamplingConfig


def play_matches(
    base: Writer,
    policy: Writer,
    score: Score,
    prompts: Sequence[str],
    *,
    num_samples: int,
    sampling: SamplingConfig,
    seed: int,
) -> list[Match]:
    """`num_samples` matches per prompt, those of one prompt in a row. Both draw at the same temperature.

    Raises TrainingError when a score or a KL is not finite: nan would lose every match without a word.
    """
    asked = [prompt for prompt in prompts for _ in range(num_samples)]
    drawn = [writer.complete(asked, sampling, seed) for writer in (base, policy)]
    base_scores, policy_scores = (score(asked, [sample.text for sample in samples]).tolist() for samples in drawn)
    kl = writers_kl(policy, base, asked, drawn[1], sampling.temperature)
    for numbers, complaint in (
        (base_scores + policy_scores, "the reward model gives a score that is not finite"),
        (kl, "the KL between policy and base is not finite"),
    ):
        if not all(map(math.isfinite, numbers)):
            raise TrainingError(f"evaluation: {complaint}; train it with a lower learning_rate or in float32")
    return [
        Match(
            prompt=prompt,
            base_completion=of_base.text,
            policy_completion=of_policy.text,
            base_score=base_score,
            policy_score=policy_score,
            base_ended=of_base.ended,
            policy_ended=of_policy.ended,
            kl_nats=nats,
        )
        for prompt, of_base, of_policy, base_score, policy_score, nats in zip(
            asked, *drawn, base_scores, policy_scores, kl, strict=True
        )
    ]


def writers_kl(
    policy: Writer, base: Writer, prompts: Sequence[str], samples: Sequence[Sample], temperature: float
) -> list[float]:
    """`completion_kl`; of a policy that writes the best of n the bound of its KL, for each completion."""
    if policy.chooser is not None:
        return [best_of_n_kl_bound(policy.best_of)] * len(samples)
    return completion_kl(policy.network, base.network, policy.tokenizer, prompts, samples, temperature)


@torch.no_grad()
def completion_kl(
    policy: PreTrainedModel,
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    samples: Sequence[Sample],
    temperature: float,
) -> list[float]:
    """`log pi(completion) - log pi_base(completion)` in nats, of each completion that the policy drew (estimator k1)."""
    sequences = [
        encode_prompt(tokenizer, prompt) + sample.tokens for prompt, sample in zip(prompts, samples, strict=True)
    ]

    def read(rows: slice) -> list[float]:
        batch = PackedBatch.of(sequences[rows], policy.device)
        lengths = [len(sample.tokens) for sample in samples[rows]]
        places = batch.last(lengths)
        kl = kl_k1(*(token_logprobs(model, batch, places, temperature) for model in (policy, base)))
        return [of_completion.sum().item() for of_completion in kl.split(lengths)]

    return [nats for part in read_in_parts([len(sequence) for sequence in sequences], read) for nats in part]
