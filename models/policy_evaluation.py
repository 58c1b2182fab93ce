"""Base and policy complete the same held-out prompts: what each wrote, how it scores, and how far the policy has moved."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.evaluation import Match
from models.returns import kl_k1
from models.rollouts import Scorer
from models.sampling import Sample, sample_completions
from models.tokens import completion_logprobs, pad_prompts_and_completions


def play_matches(
    base: PreTrainedModel,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    *,
    num_samples: int,
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> list[Match]:
    """`num_samples` matches per prompt, those of one prompt in a row. Both models draw at the same temperature."""
    asked = [prompt for prompt in prompts for _ in range(num_samples)]
    drawn = [
        sample_completions(
            model, tokenizer, asked, max_new_tokens=max_new_tokens, temperature=temperature, batch_size=128, seed=seed
        )
        for model in (base, policy)
    ]
    base_scores, policy_scores = (scorer(asked, [sample.text for sample in samples]).tolist() for samples in drawn)
    kl = completion_kl(policy, base, tokenizer, asked, drawn[1], temperature)
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


@torch.no_grad()
def completion_kl(
    policy: PreTrainedModel,
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    samples: Sequence[Sample],
    temperature: float,
    batch_size: int = 64,
) -> list[float]:
    """`log pi(completion) - log pi_base(completion)` in nats, of each completion that the policy drew (estimator k1)."""
    totals: list[float] = []
    for start in range(0, len(samples), batch_size):
        rows = slice(start, start + batch_size)
        batch, width = pad_prompts_and_completions(
            tokenizer, prompts[rows], [sample.tokens for sample in samples[rows]]
        )
        batch = batch.to(policy.device)
        logprobs, _ = completion_logprobs(policy, batch, width, temperature)
        base_logprobs, _ = completion_logprobs(base, batch, width, temperature)
        kl = kl_k1(logprobs, base_logprobs).masked_fill(~batch.is_token[:, -width:], 0.0)
        totals += kl.sum(dim=1).tolist()
    return totals
