"""Sequences of unequal length one after another, without padding, through any decoder of Hugging Face.

Linear layers, norms and activations see one row of N tokens. Attention alone needs to know where a sequence begins: there the
tokens are laid out as a rectangle, a row per sequence, padded on the right, where causality hides the padding by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

from models.attention import NO_MASK, Rectangle, use_attention
from models.errors import ConfigError
from models.shapes import Bool, Float, Int


@dataclass(frozen=True)
class PackedBatch:
    """B sequences, N tokens in all."""

    input_ids: Int[Tensor, " N"]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> "PackedBatch":
        """The sequences, in their order."""
        tokens = torch.tensor([token for sequence in sequences for token in sequence], dtype=torch.long)
        return cls(tokens.to(device), tuple(map(len, sequences)))

    def last(self, counts: Sequence[int]) -> Int[Tensor, " M"]:
        """The places, among the N, of the last `counts[b]` tokens of each sequence b."""
        places, end = [], 0
        for length, count in zip(self.lengths, counts, strict=True):
            end += length
            places += range(end - count, end)
        return torch.tensor(places, dtype=torch.long).to(self.input_ids.device)

    @cached_property
    def positions(self) -> Int[Tensor, " N"]:
        """Every token's place in its own sequence."""
        return self._is_token.nonzero()[:, 1].to(self.input_ids.device)

    @cached_property
    def rectangle(self) -> Rectangle:
        """How attention lays the tokens out."""
        is_token = self._is_token.flatten()
        return Rectangle(
            shape=self._is_token.shape,
            place_of_slot=(is_token.long().cumsum(0) - 1).clamp(min=0).to(self.input_ids.device),
            slot_of_place=is_token.nonzero().squeeze(-1).to(self.input_ids.device),
        )

    @cached_property
    def _is_token(self) -> Bool[Tensor, "B S"]:
        """On the CPU: how many are True is known there already, a GPU would have to be waited for."""
        return torch.arange(max(self.lengths)) < torch.tensor(self.lengths)[:, None]


def hidden_states(body: PreTrainedModel, batch: PackedBatch) -> Float[Tensor, "N H"]:
    """The last hidden state of every token; no sequence sees another."""
    use_attention(body)
    return body(
        input_ids=batch.input_ids.unsqueeze(0),
        attention_mask=NO_MASK,
        position_ids=batch.positions.unsqueeze(0),
        use_cache=False,
        rectangle=batch.rectangle,
    ).last_hidden_state[0]


def cut_by_tokens(lengths: Sequence[int], max_tokens: int) -> Iterator[slice]:
    """Consecutive rows with at most `max_tokens` tokens together; a row that alone has more comes alone."""
    start, total = 0, 0
    for row, length in enumerate(lengths):
        if row > start and total + length > max_tokens:
            yield slice(start, row)
            start, total = row, 0
        total += length
    if len(lengths) > start:
        yield slice(start, len(lengths))


@torch.no_grad()
def require_packable(body: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> None:
    """Raises ConfigError when a network gives other hidden states for packed sequences than for each by itself.

    So it is where attention is not called through the interface of transformers, or where tokens are mixed by something else
    (state-space layers, convolutions).
    """
    refusal = ConfigError(
        f"{type(body).__name__} mixes sequences that stand one after another; use a decoder whose tokens meet in attention "
        "alone, called through the attention interface of transformers (Llama, Qwen, GPT-2, ...)"
    )
    try:
        packed = hidden_states(body, PackedBatch.of(sequences, body.device))
    except (TypeError, ValueError) as error:  # it does not know what it is given
        raise refusal from error
    for sequence, together in zip(sequences, packed.split([len(one) for one in sequences]), strict=True):
        alone = body(input_ids=torch.tensor([sequence], device=body.device), use_cache=False).last_hidden_state[0]
        if not torch.allclose(together, alone, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise refusal
