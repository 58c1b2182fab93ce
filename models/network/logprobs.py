"""Log-probabilities of tokens, straight from hidden states: the logits of a few hundred tokens at a time, never those of a batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from models.distributed.fsdp import forward_pass
from models.network.llama_forward import Below
from models.network.packing import PackedBatch, filled, hidden_states
from models.shapes import Float, Int

MIN_CHUNK_TOKENS, CHUNK_LOGITS, KEPT_LOGITS = 256, 2**22, 2**24
TIMES_ON_A_GPU = 8
"""So many times more in a chunk there, where each has launches of its own and no cache is to hold it."""


class _Head(NamedTuple):
    """What makes logits of hidden states, in one precision."""

    weight: Float[Tensor, "V H"]
    bias: Float[Tensor, " V"] | None
    cap: float | None


@dataclass(frozen=True)
class TokenStates:
    """What the tokens at some places are foretold from: the `hidden` states before them, and the head. Filled up like the places (`filled`)."""

    hidden: Float[Tensor, "F H"]
    head: _Head
    tokens: Int[Tensor, " F"]
    num_places: int

    def logprobs(self, temperature: float) -> Float[Tensor, " M"]:
        """As `token_logprobs`."""
        return _Logprobs.apply(self.hidden, *self.head, self.tokens, temperature)[: self.num_places]

    @torch.no_grad()
    def logprobs_and_entropy(self, temperature: float) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
        """As `token_logprobs_and_entropy`."""
        logprobs, entropy = torch.empty(2, len(self.tokens), device=self.hidden.device)
        for rows in _chunks(self.hidden, len(self.head.weight)):
            log_p = _log_softmax(_logits(self.hidden[rows], *self.head), temperature)
            logprobs[rows] = _at(log_p, self.tokens[rows])
            entropy[rows] = log_p.exp().mul_(log_p).sum(dim=-1).neg_()
        return logprobs[: self.num_places], entropy[: self.num_places]


def token_states(
    model: PreTrainedModel, batch: PackedBatch, places: Int[Tensor, " M"], below: Below | None = None
) -> TokenStates:
    """What the tokens at these places are foretold from; none may be the first of a sequence. Of a network whose weights are together
    (`forward_pass`). What is known from `below` (`states_below`) is not computed again.

    Where a network multiplies its logits by a number (Cohere, Granite), the hidden states have been. All is in the head's precision.
    """
    num_places, places = len(places), filled(places)
    hidden = hidden_states(model.base_model, batch, batch.before[places], below)
    scale = getattr(model, "logit_scale", 1.0) / getattr(model.config, "logits_scaling", 1.0)
    hidden = hidden if scale == 1.0 else hidden * scale
    head, device_type = model.get_output_embeddings(), hidden.device.type
    dtype = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else hidden.dtype
    bias = None if head.bias is None else head.bias.to(dtype)
    own_head = _Head(head.weight.to(dtype), bias, getattr(model.config, "final_logit_softcapping", None))
    return TokenStates(hidden.to(dtype), own_head, batch.input_ids[places], num_places)


@forward_pass
def token_logprobs(
    model: PreTrainedModel,
    batch: PackedBatch,
    places: Int[Tensor, " M"],
    temperature: float = 1.0,
    below: Below | None = None,
) -> Float[Tensor, " M"]:
    """Log-probability (nats) of the token at each of these places, given the tokens before it in its sequence.

    `log softmax(logits / temperature)`; the logits of a token come from the place before it, so that no place may be the
    first of a sequence. The softmax is taken in float32 whatever the precision of the network.
    """
    return token_states(model, batch, places, below).logprobs(temperature)


@torch.no_grad()
@forward_pass
def token_logprobs_and_entropy(
    model: PreTrainedModel,
    batch: PackedBatch,
    places: Int[Tensor, " M"],
    temperature: float = 1.0,
    below: Below | None = None,
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """`token_logprobs` without gradient, and the entropy (nats) of the distribution that each token stands for."""
    return token_states(model, batch, places, below).logprobs_and_entropy(temperature)


class _Logprobs(torch.autograd.Function):
    """`l = log softmax(z)[token]` with `z = (W h + b) / temperature`; `dl / dz_j = [j = token] - softmax(z)_j`.

    With a cap c (Gemma Team 2024, "Gemma 2", section 2), `c tanh((W h + b) / c)` takes the place of W h + b: a factor of
    `1 - tanh^2` more in the gradient.

    Forward keeps the logits where they are few; else backward computes them again.
    """

    @staticmethod
    def forward(
        ctx,
        hidden: Float[Tensor, "M H"],
        weight: Float[Tensor, "V H"],
        bias: Float[Tensor, " V"] | None,
        cap: float | None,
        tokens: Int[Tensor, " M"],
        temperature: float,
    ) -> Float[Tensor, " M"]:
        keeps = any(ctx.needs_input_grad) and len(tokens) * len(weight) <= KEPT_LOGITS
        logprobs, kept = torch.empty(len(tokens), device=hidden.device), []
        for rows in _chunks(hidden, len(weight)):
            logits = _logits(hidden[rows], weight, bias, cap)
            logprobs[rows] = _at(_log_softmax(logits, temperature), tokens[rows])
            if keeps:
                kept.append(logits)
        ctx.save_for_backward(hidden, weight, bias, tokens, logprobs, *kept)
        ctx.cap, ctx.temperature = cap, temperature
        return logprobs

    @staticmethod
    def backward(ctx, gradient: Float[Tensor, " M"]) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, tokens, logprobs, *kept = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden)
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        for number, rows in enumerate(_chunks(hidden, len(weight))):
            scale = (gradient[rows] / ctx.temperature).unsqueeze(-1)
            logits = kept[number] if kept else _logits(hidden[rows], weight, bias, ctx.cap)
            shares = torch.softmax(logits if ctx.temperature == 1 else logits.float() / ctx.temperature, dim=-1)
            of_logits = shares.to(hidden.dtype).mul_(-scale.to(hidden.dtype))
            # 1 - p by itself: as a difference of two numbers near 1, eight binary digits would not hold it
            missing = -torch.expm1(logprobs[rows].unsqueeze(-1))
            of_logits.scatter_(-1, tokens[rows].unsqueeze(-1), (missing * scale).to(hidden.dtype))
            if ctx.cap is not None:
                of_logits *= 1 - (logits / ctx.cap) ** 2
            of_hidden[rows] = of_logits @ weight
            if of_weight is not None:
                of_weight += of_logits.T @ hidden[rows]
            if of_bias is not None:
                of_bias += of_logits.sum(dim=0)
        return (
            of_hidden,
            None if of_weight is None else of_weight.to(weight.dtype),
            None if of_bias is None else of_bias.to(bias.dtype),
            None,
            None,
            None,
        )


def _logits(
    hidden: Float[Tensor, "C H"], weight: Float[Tensor, "V H"], bias: Float[Tensor, " V"] | None, cap: float | None
) -> Float[Tensor, "C V"]:
    logits = F.linear(hidden, weight, bias)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def _log_softmax(logits: Float[Tensor, "C V"], temperature: float) -> Float[Tensor, "C V"]:
    logits = logits.float()
    return torch.log_softmax(logits if temperature == 1 else logits / temperature, dim=-1)


def _at(log_p: Float[Tensor, "C V"], tokens: Int[Tensor, " C"]) -> Float[Tensor, " C"]:
    return log_p.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def _chunks(hidden: Float[Tensor, "M H"], vocab_size: int) -> Iterator[slice]:
    size = max(MIN_CHUNK_TOKENS, CHUNK_LOGITS // vocab_size)
    if hidden.device.type == "cuda":
        size *= TIMES_ON_A_GPU
    return (slice(start, start + size) for start in range(0, len(hidden), size))
