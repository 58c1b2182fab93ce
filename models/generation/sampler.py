"""The network that completions are drawn from while another precision learns, kept from one batch to the next."""

import copy

import torch
from torch import nn
from transformers import PreTrainedModel

from models.distributed.fsdp import whole, whole_tensors
from models.generation.decoding import Decoder
from models.network.precision import autocast
from models.settings.compute import Compute


class Sampler:
    """A policy as it is sampled from, update after update: itself or, where it learns in bfloat16, one copy that its weights are written into.

    On a GPU the decoder stays as well, with its keys and values and the steps that were recorded over them: what a first batch had to prepare
    serves all that fit into it.
    """

    def __init__(self, policy: PreTrainedModel, compute: Compute) -> None:
        self._policy, self._compute = policy, compute
        self.network = sampling_copy(whole(policy), compute)
        self._decoder: Decoder | None = None

    @torch.no_grad()
    def follow(self) -> "Sampler":
        """The same, with the weights that the policy has now. Of several ranks all together."""
        if rounds(self._policy, self._compute):
            for own, weight in zip(self.network.parameters(), whole_tensors(self._policy), strict=True):
                own.copy_(weight)
        else:
            self.network = whole(self._policy)
        return self

    def decoder(self, num_rows: int, longest_prompt: int, num_columns: int) -> Decoder:
        """One with room for that, and nobody in it."""
        kept, needed = self._decoder, (num_rows, longest_prompt, num_columns)
        if kept is None or kept.model is not self.network or not kept.has_room(*needed):
            kept = Decoder(self.network, *needed)
        kept.clear()
        self._decoder = kept if kept.has_fixed_steps else None
        return kept

    def forget_decoder(self) -> None:
        """Gives back what it takes: memory ran out."""
        self._decoder = None


def sampling_copy(policy: PreTrainedModel, compute: Compute) -> PreTrainedModel:
    """The network to sample from while the policy learns: itself or, where it learns in bfloat16, a copy with bfloat16 weights.

    A step of decoding takes as long as reading the weights, and they are half as large. What the copy draws is a little off the
    policy by rounding; PPO's ratio is not, since it comes from the learning forward pass alone (docs/results.md has figures).
    """
    if not rounds(policy, compute):
        return policy
    # weights alone: rounded frequencies of rotary positions would be off by whole radians after a few hundred tokens
    dtype = torch.get_autocast_dtype(policy.device.type)
    rounded = {id(weight): nn.Parameter(weight.detach().to(dtype), False) for weight in policy.parameters()}
    return copy.deepcopy(policy, rounded)


def rounds(policy: PreTrainedModel, compute: Compute) -> bool:
    """Whether its products are in bfloat16."""
    with autocast(compute):
        return torch.is_autocast_enabled(policy.device.type)
