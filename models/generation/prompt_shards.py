"""Completions of many prompts, a shard of them at a time: a shard comes out the same wherever it is made.

What a completion draws follows from the seed and the prompt's place among all prompts (models/generation/sampling.py). What is left is
rounding, which depends on the sequences that share a forward pass and on the number of threads: a shard fixes both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.generation.sampler import sampling_copy
from models.generation.sampling import Sample, sample_distinct
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig


@dataclass(frozen=True)
class Shard:
    """Prompts that are completed together; `first` is the place of the first one among all prompts."""

    first: int
    prompts: list[str]
    max_new_tokens: int


def cut_into_shards(prompts: Sequence[str], size: int, max_new_tokens: int) -> list[Shard]:
    """The prompts in their order, `size` to a shard; the last one holds what is left."""
    starts = range(0, len(prompts), size)
    return [Shard(first, list(prompts[first : first + size]), max_new_tokens) for first in starts]


def complete_shard(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    shard: Shard,
    config: GenerationConfig,
    compute: Compute,
    seed: int,
    num_threads: int,
) -> list[list[Sample]]:
    """Up to K different completions of each prompt of the shard, computed by this process with `num_threads` threads."""
    torch.set_num_threads(num_threads)  # also where it is so already: MKL then takes no fewer by its own choice
    sampler = sampling_copy(model, compute)
    return sample_distinct(sampler, tokenizer, shard.prompts, config, shard.max_new_tokens, seed, first=shard.first)
