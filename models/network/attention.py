"""Attention as the project calls it, registered with transformers under a name of its own, so that its networks stay as they are.

Three ways: over packed sequences, for a single new token with a cache, and else that of transformers. On a CPU plain products are
used where torch's fused kernel is slow: differentiating short sequences takes it four times as long (bfloat16, 96 tokens), and so
does a single query.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.errors import ConfigError
from models.shapes import Bool, Float, Int

NAME = "rein"
LONGEST_PRODUCT = 512
SHORTEST_SHARE = 0.6  # of the longest row of a rectangle, in tokens
WITHOUT_EFFECT = {
    *("use_cache", "return_dict", "output_attentions", "output_hidden_states", "output_router_logits"),
    *("position_ids", "position_embeddings", "cache_position"),
}
"""What transformers hands to attention and what the mask, or the caller, has seen to."""
NO_MASK = torch.ones(1, 1, 1, 1, dtype=torch.bool)
"""Of four axes: transformers hands it to attention as it is. With rectangles it is not read."""


@dataclass(frozen=True)
class Rectangles:
    """Sequences of about one length each, as B rows of S slots; a slot that is padding holds a copy of its row's last token, which
    nothing reads. The slots of all rectangles are numbered through."""

    shapes: tuple[tuple[int, int], ...]
    place_of_slot: Int[Tensor, " slots"]
    slot_of_place: Int[Tensor, " N"]

    @classmethod
    def of(cls, places: Sequence[Sequence[int]], num_tokens: int, device: torch.device) -> "Rectangles":
        """For sequences whose tokens stand at these places among N. What several begin with has a slot in each of them, all with the same result; what
        is in none, filler, gets any slot."""
        shapes, place_of_slot, slot_of_place = [], [], [0] * num_tokens
        for rows in _rows_of_one_length([len(own) for own in places]):
            width = len(places[rows[0]])
            shapes.append((len(rows), width))
            for own in (places[row] for row in rows):
                for slot, place in enumerate(own, start=len(place_of_slot)):
                    slot_of_place[place] = slot
                place_of_slot += [*own, *[own[-1]] * (width - len(own))]
        return cls(tuple(shapes), torch.tensor(place_of_slot).to(device), torch.tensor(slot_of_place).to(device))

    def lay_out(self, tokens: Float[Tensor, "N H D"]) -> list[Float[Tensor, "_ H _ D"]]:
        """Tokens of all heads as rows, one tensor a rectangle."""
        parts = tokens.index_select(0, self.place_of_slot).split([rows * slots for rows, slots in self.shapes])
        return [part.unflatten(0, shape).transpose(1, 2) for part, shape in zip(parts, self.shapes, strict=True)]

    def pick_up(
        self, rows: Sequence[Float[Tensor, "_ H _ D"]], places: Int[Tensor, " M"] | None
    ) -> Float[Tensor, "M H D"]:
        """The tokens at these places (None: at all) again, one after another."""
        slots = self.slot_of_place if places is None else self.slot_of_place[places]
        return torch.cat([part.transpose(1, 2).flatten(0, 1) for part in rows]).index_select(0, slots)


def _rows_of_one_length(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers, the longest first, in groups without much padding."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if groups and lengths[row] >= SHORTEST_SHARE * lengths[groups[-1][0]]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def is_padded(network: PreTrainedModel) -> bool:
    """Whether a network reads its sequences as padded rows, through transformers' own attention, because it cannot read them packed.
    Its config says so (models/generation/guards.py finds out)."""
    return getattr(network.config, "rein_layout", "packed") == "padded"


def pad_rows(network: PreTrainedModel) -> None:
    """Makes it so."""
    network.config.rein_layout = "padded"


def use_attention(network: PreTrainedModel) -> None:
    """Makes a network call the attention of this file or, where it reads padded rows, the plainest one that it came with."""
    set_attention(network, "eager" if is_padded(network) else NAME)


def set_attention(network: PreTrainedModel, name: str) -> None:
    """Makes a network call this attention, where it can call any but its own."""
    if network.config._attn_implementation != name and network._can_set_attn_implementation():
        network.set_attn_implementation(name)


def _attend(
    module: nn.Module,
    query: Float[Tensor, "b H n D"],
    key: Float[Tensor, "b G k D"],
    value: Float[Tensor, "b G k E"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    rectangles: Rectangles | None = None,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Float[Tensor, "b n H E"], None]:
    """Attention with the signature that transformers calls; `rectangles` come with packed sequences alone.

    Raises ConfigError for an argument that would change what is computed: a cap on the weights (Gemma 2), sinks (gpt-oss), a bias.
    """
    if unknown := {name for name, value in others.items() if value is not None} - WITHOUT_EFFECT:
        raise ConfigError(
            f"{type(module).__name__} asks its attention for {', '.join(sorted(unknown))}, which is not done"
        )
    if rectangles is None and query.device.type == "cpu" and query.shape[2] == 1:
        return _attend_once(query, key, value, attention_mask, scaling), None
    if rectangles is None:
        output, _ = sdpa_attention_forward(
            module,
            query.to(key.dtype),
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
        )
        return output.to(query.dtype), None
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key = query.to(value.dtype), key.to(value.dtype)  # rotation leaves float32 behind
    tokens = (states[0].transpose(0, 1) for states in (query, key, value))
    return attend_packed(*tokens, rectangles, scaling, dropout, sliding_window).unsqueeze(0), None


def attend_packed(
    query: Float[Tensor, "N H D"],
    key: Float[Tensor, "N G D"],
    value: Float[Tensor, "N G E"],
    rectangles: Rectangles,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    places: Int[Tensor, " M"] | None = None,
) -> Float[Tensor, "M H E"]:
    """Causal attention of the tokens at these places (None: of all) to their own sequences."""
    rows = zip(*(rectangles.lay_out(tokens) for tokens in (query, key, value)), strict=True)
    return rectangles.pick_up([_causal_attention(*part, scaling, dropout, sliding_window) for part in rows], places)


def _attend_once(
    query: Float[Tensor, "B H 1 D"],
    key: Float[Tensor, "B G L D"],
    value: Float[Tensor, "B G L E"],
    mask: Bool[Tensor, "B 1 1 L"] | None,
    scaling: float | None,
) -> Float[Tensor, "B 1 H E"]:
    """Attention of one query per row, in the precision that keys are kept in. `mask` is True where the query looks."""
    num_rows, num_heads, _, width = query.shape
    grouped = query.to(key.dtype).view(num_rows, key.shape[1], -1, width)
    weights = grouped @ key.transpose(2, 3) * (width**-0.5 if scaling is None else scaling)
    if mask is not None:
        weights = weights.masked_fill(~mask, -torch.inf)
    return (torch.softmax(weights, dim=-1) @ value).view(num_rows, 1, num_heads, -1).to(query.dtype)


def _causal_attention(
    query: Float[Tensor, "B H S D"],
    key: Float[Tensor, "B G S D"],
    value: Float[Tensor, "B G S E"],
    scaling: float,
    dropout: float,
    sliding_window: int | None,
) -> Float[Tensor, "B H S E"]:
    """`softmax(scaling Q K^T + causal mask) V`, on a CPU by plain products."""
    num_rows, num_heads, length, _ = query.shape
    key, value = (repeat_kv(tokens, num_heads // tokens.shape[1]) for tokens in (key, value))
    if query.device.type != "cpu" or length > LONGEST_PRODUCT:
        has_window = sliding_window is not None and sliding_window < length
        mask = ~_is_hidden(length, sliding_window, query.device) if has_window else None
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling
        )
    is_hidden = _is_hidden(length, sliding_window, query.device)
    bias = torch.zeros(length, length, dtype=query.dtype).masked_fill(is_hidden, -torch.inf)
    query, key, value = (tokens.flatten(0, 1) for tokens in (query, key, value))
    weights = torch.softmax(torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scaling), dim=-1)
    return torch.bmm(F.dropout(weights, dropout), value).unflatten(0, (num_rows, num_heads))


def _is_hidden(length: int, sliding_window: int | None, device: torch.device) -> Bool[Tensor, "S S"]:
    """True where a token (row) must not look: at later ones, and at those as far back as the window is wide."""
    places = torch.arange(length, device=device)
    distance = places[:, None] - places
    return (distance < 0) | (distance >= (sliding_window or length))


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
