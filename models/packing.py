"""Sequences of unequal length one after another, without padding, through any decoder of Hugging Face.

Linear layers, norms and activations see one row of N tokens. Attention alone needs to know where a sequence begins: there the
tokens are laid out as a rectangle, a row per sequence, padded on the right, where causality hides the padding by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.errors import ConfigError
from models.shapes import Bool, Float, Int

ATTENTION = "rein"
LONGEST_PRODUCT = 512


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
        return self._is_token.nonzero()[:, 1]

    @cached_property
    def rectangle(self) -> "Rectangle":
        """How attention lays the tokens out."""
        is_token = self._is_token.flatten()
        return Rectangle(
            shape=self._is_token.shape,
            place_of_slot=(is_token.long().cumsum(0) - 1).clamp(min=0),
            slot_of_place=is_token.nonzero().squeeze(-1),
        )

    @cached_property
    def _is_token(self) -> Bool[Tensor, "B S"]:
        lengths = torch.tensor(self.lengths, device=self.input_ids.device)
        return torch.arange(max(self.lengths), device=lengths.device) < lengths[:, None]


@dataclass(frozen=True)
class Rectangle:
    """B rows of S slots; a slot that is padding holds a copy of the token before it, which nothing reads."""

    shape: torch.Size
    place_of_slot: Int[Tensor, " slots"]
    slot_of_place: Int[Tensor, " N"]

    def lay_out(self, tokens: Float[Tensor, "1 H N D"]) -> Float[Tensor, "B H S D"]:
        """Tokens of all heads as rows."""
        by_slot = tokens[0].transpose(0, 1).index_select(0, self.place_of_slot)
        return by_slot.unflatten(0, self.shape).transpose(1, 2)

    def pick_up(self, rows: Float[Tensor, "B H S D"]) -> Float[Tensor, "1 N H D"]:
        """The tokens again, one after another."""
        return rows.transpose(1, 2).flatten(0, 1).index_select(0, self.slot_of_place).unsqueeze(0)


def hidden_states(body: PreTrainedModel, batch: PackedBatch) -> Float[Tensor, "N H"]:
    """The last hidden state of every token; no sequence sees another."""
    if body.config._attn_implementation != ATTENTION:
        body.set_attn_implementation(ATTENTION)
    return body(
        input_ids=batch.input_ids.unsqueeze(0),
        attention_mask=_NO_MASK,
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


def _attend(
    module: nn.Module,
    query: Float[Tensor, "b H n D"],
    key: Float[Tensor, "b G k D"],
    value: Float[Tensor, "b G k D"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    rectangle: Rectangle | None = None,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Float[Tensor, "b n H D"], None]:
    """Attention of packed tokens where there is a rectangle, else that of transformers."""
    if rectangle is None:
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            sliding_window=sliding_window,
            **others,
        )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key = query.to(value.dtype), key.to(value.dtype)  # rotation leaves float32 behind
    rows = [rectangle.lay_out(tokens) for tokens in (query, key, value)]
    return rectangle.pick_up(_causal_attention(*rows, scaling, dropout, sliding_window)), None


def _causal_attention(
    query: Float[Tensor, "B H S D"],
    key: Float[Tensor, "B G S D"],
    value: Float[Tensor, "B G S D"],
    scaling: float,
    dropout: float,
    sliding_window: int | None,
) -> Float[Tensor, "B H S D"]:
    """`softmax(scaling Q K^T + causal mask) V`. On a CPU by plain products: the backward pass of torch's fused kernel takes four
    times as long there for short sequences (bfloat16, 96 tokens)."""
    num_rows, num_heads, length, _ = query.shape
    key, value = (repeat_kv(tokens, num_heads // tokens.shape[1]) for tokens in (key, value))
    has_window = sliding_window is not None and sliding_window < length
    if query.device.type != "cpu" or length > LONGEST_PRODUCT:
        mask = ~_is_hidden(length, sliding_window, query.device) if has_window else None
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling
        )
    is_hidden = _is_hidden(length, sliding_window if has_window else None, query.device)
    bias = torch.zeros(length, length, dtype=query.dtype).masked_fill(is_hidden, -torch.inf)
    query, key, value = (tokens.flatten(0, 1) for tokens in (query, key, value))
    weights = torch.softmax(torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scaling), dim=-1)
    return torch.bmm(F.dropout(weights, dropout), value).unflatten(0, (num_rows, num_heads))


def _is_hidden(length: int, sliding_window: int | None, device: torch.device) -> Bool[Tensor, "S S"]:
    """True where a token (row) must not look: at later ones, and at those as far back as the window is wide."""
    places = torch.arange(length, device=device)
    distance = places[:, None] - places
    return (distance < 0) | (distance >= (sliding_window or length))


_NO_MASK = torch.ones(1, 1, 1, 1, dtype=torch.bool)  # of four axes: handed to attention as it is, where it is not read
AttentionInterface.register(ATTENTION, _attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
