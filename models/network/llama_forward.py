"""The forward pass of a Llama over packed sequences: transformers' modules and weights, with less work between the matrix products.

On two cores a third of a training step goes to norms, rotations and conversions. Here each is one function with its gradient by
hand, which hands on the precision that the next product reads. In the last layer only the tokens that are asked for go on
after attention: of all others nothing but their keys and values is ever read.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers import LlamaModel, PreTrainedModel, Qwen2Model
from transformers.modeling_layers import GradientCheckpointingLayer

from models.network.attention import Rectangles, attend_packed
from models.shapes import Float, Int


class Below(NamedTuple):
    """What the lowest `num_layers` layers have made of each token."""

    num_layers: int
    hidden: Float[Tensor, "N H"]


def has_own_pass(body: PreTrainedModel) -> bool:
    """Whether a network is built as this file computes: a Llama, or a Qwen2, which is one with biases. Not when it is sharded:
    FSDP2 brings a layer's weights together for a call of the layer as a whole."""
    return type(body) in (LlamaModel, Qwen2Model) and not any(isinstance(layer, FSDPModule) for layer in body.layers)


def llama_hidden_states(
    body: PreTrainedModel,
    input_ids: Int[Tensor, " N"],
    positions: Int[Tensor, " N"],
    rectangles: Rectangles,
    places: Int[Tensor, " M"],
    below: Below | None = None,
) -> Float[Tensor, "M H"]:
    """The last hidden states at these places; no sequence sees another. What is known from `below` is not computed again."""
    start, hidden = below or Below(0, body.embed_tokens(input_ids))
    cos, sin = _angles(body, hidden, positions)
    *layers, last = body.layers[start:]
    for layer in layers:
        hidden = _through(layer, hidden, cos, sin, rectangles, None)
    return _norm(body.norm, _through(last, hidden, cos, sin, rectangles, places))


@torch.no_grad()
def llama_states_below(
    body: PreTrainedModel,
    input_ids: Int[Tensor, " N"],
    positions: Int[Tensor, " N"],
    rectangles: Rectangles,
    num_layers: int,
) -> Below:
    """What the lowest layers, which are frozen, make of each token; there are others above them."""
    hidden = body.embed_tokens(input_ids)
    cos, sin = _angles(body, hidden, positions)
    for layer in body.layers[:num_layers]:
        hidden = _layer(layer, hidden, cos, sin, rectangles, None)
    return Below(num_layers, hidden)


def _angles(
    body: PreTrainedModel, hidden: Float[Tensor, "N H"], positions: Int[Tensor, " N"]
) -> tuple[Float[Tensor, "N 1 D"], Float[Tensor, "N 1 D"]]:
    cos, sin = (part[0].unsqueeze(1).float() for part in body.rotary_emb(hidden, positions.unsqueeze(0)))
    return cos, sin


def _through(layer: GradientCheckpointingLayer, *inputs: Tensor | Rectangles | None) -> Float[Tensor, "M H"]:
    """A layer, computed again in the backward pass where the layer is set to."""
    if layer.gradient_checkpointing and layer.training:
        return layer._gradient_checkpointing_func(_layer, layer, *inputs)
    return _layer(layer, *inputs)


def _layer(
    layer: nn.Module,
    hidden: Float[Tensor, "N H"],
    cos: Float[Tensor, "N 1 D"],
    sin: Float[Tensor, "N 1 D"],
    rectangles: Rectangles,
    places: Int[Tensor, " M"] | None,
) -> Float[Tensor, "M H"]:
    """Attention and then the MLP, each on the normed sum of what came before; the result at these places (None: at all)."""
    attention = layer.self_attn
    normed = _norm(layer.input_layernorm, hidden)
    query, key, value = (
        projection(normed).unflatten(-1, (-1, attention.head_dim))
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    mixed = attend_packed(
        _Rotation.apply(query, cos, sin),
        _Rotation.apply(key, cos, sin),
        value,
        rectangles,
        attention.scaling,
        attention.attention_dropout if attention.training else 0.0,
        getattr(attention, "sliding_window", None),
        places,
    )
    hidden = hidden if places is None else hidden.index_select(0, places)
    hidden = hidden + attention.o_proj(mixed.flatten(1))
    return hidden + layer.mlp(_norm(layer.post_attention_layernorm, hidden))


def _norm(norm: nn.Module, hidden: Float[Tensor, "N H"]) -> Float[Tensor, "N H"]:
    return _RootMeanSquareNorm.apply(hidden, norm.weight, norm.variance_epsilon)


def _precision(tokens: Tensor) -> torch.dtype:
    """What the next matrix product reads."""
    kind = tokens.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tokens.dtype


class _RootMeanSquareNorm(torch.autograd.Function):
    """`y = w x r` with `r = (mean(x^2) + eps)^-1/2` (Zhang and Sennrich 2019), in float32.

    `dw = sum_n g x r`, `dx = r (w g - x r^2 mean(w g x))`.
    """

    @staticmethod
    def forward(ctx, x: Float[Tensor, "N H"], weight: Float[Tensor, " H"], eps: float) -> Float[Tensor, "N H"]:
        dtype, x = _precision(x), x.float()
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        r = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return (x * r).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx, gradient: Float[Tensor, "N H"]) -> tuple[Tensor | None, ...]:
        x, weight, r = ctx.saved_tensors
        product = gradient * x
        share = (product @ weight.float()).unsqueeze(-1).mul_(r.pow(3)).div_(-x.shape[-1])
        of_x = (gradient * weight).float().mul_(r).addcmul_(x, share)
        return of_x, (r.T @ product)[0].to(weight.dtype) if ctx.needs_input_grad[1] else None, None


class _Rotation(torch.autograd.Function):
    """Rotary positions (Su et al. 2021): `y = x cos + (-x2, x1) sin` for the halves x1, x2 of each head, in float32.

    The gradient is the same rotation backwards.
    """

    @staticmethod
    def forward(
        ctx, x: Float[Tensor, "N H D"], cos: Float[Tensor, "N 1 D"], sin: Float[Tensor, "N 1 D"]
    ) -> Float[Tensor, "N H D"]:
        ctx.save_for_backward(cos, sin)
        return _rotate(x, cos, sin, 1)

    @staticmethod
    def backward(ctx, gradient: Float[Tensor, "N H D"]) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotate(gradient, cos, sin, -1), None, None


def _rotate(
    x: Float[Tensor, "N H D"], cos: Float[Tensor, "N 1 D"], sin: Float[Tensor, "N 1 D"], direction: int
) -> Float[Tensor, "N H D"]:
    half = x.shape[-1] // 2
    x, dtype = x.float(), x.dtype
    rotated = x * cos
    rotated[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-direction)
    rotated[..., half:].addcmul_(x[..., :half], sin[..., half:], value=direction)
    return rotated.to(dtype)
