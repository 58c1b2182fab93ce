"""Where a network computes, and in which precision."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig
from transformers.pytorch_utils import Conv1D

from models.errors import ConfigError, TrainingError
from models.processor import computes_in_bfloat16
from models.settings.compute import Compute

HALF_AS_WIDE = (torch.bfloat16, torch.float16)


def pick_device(compute: Compute) -> torch.device:
    """The device that the config asks for. Raises ConfigError for `cuda` without a GPU."""
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("compute.device is cuda, but no CUDA GPU is to be seen; set it to cpu or auto")
    if compute.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(compute.device)


def autocast(compute: Compute) -> contextlib.AbstractContextManager:
    """A context in which forward passes run in the precision that the config asks for; weights that learn stay float32."""
    if pick_precision(compute) == "float32":
        return contextlib.nullcontext()
    return torch.autocast(pick_device(compute).type, dtype=torch.bfloat16)


def pick_precision(compute: Compute) -> str:
    """`float32` or `bfloat16`: what the config asks for, or what `auto` comes to on this machine."""
    if compute.precision == "auto":
        return "bfloat16" if _computes_in_bfloat16(pick_device(compute)) else "float32"
    return compute.precision


def round_frozen(model: nn.Module, compute: Compute) -> nn.Module:
    """The same frozen network, its linear layers held in the precision that they compute in: where that is bfloat16, half the memory, and
    the same numbers bit for bit, since autocast rounds them for each product anyway.

    Embeddings (also where the output layer shares them) and norms stay float32: they are read as they are, and rounded they would move
    what a network says.
    """
    if pick_precision(compute) == "float32":
        return model
    embedded = {
        id(weight) for layer in model.modules() if isinstance(layer, nn.Embedding) for weight in layer.parameters()
    }
    for layer in model.modules():
        if isinstance(layer, nn.Linear | Conv1D):
            for weight in layer.parameters(recurse=False):
                if id(weight) not in embedded:
                    weight.data = weight.data.to(torch.bfloat16)
    return model


@contextlib.contextmanager
def held_narrowly(model: nn.Module) -> Iterator[None]:
    """Within, the weights are held in the narrowest type that holds all of them as they are; afterwards as before."""
    weights = list(model.parameters())
    narrowest = next((dtype for dtype in HALF_AS_WIDE if all(_fits(weight, dtype) for weight in weights)), None)
    held = [weight.dtype for weight in weights]
    try:
        for weight in weights:
            weight.data = weight.data.to(narrowest or weight.dtype)
        yield
    finally:
        for weight, dtype in zip(weights, held, strict=True):
            weight.data = weight.data.to(dtype)


def round_like(model: nn.Module, base: Path, seed: int) -> None:
    """Rounds the weights, in place, to ones that the type holds which those in the folder `base` are of; of float32: leaves them.

    Each becomes one of its two neighbours, the nearer one the more likely, so that on average it is what was learned. The base's weights
    are such numbers themselves: a step of less than half the way to the next one would be undone if each became the nearer one.
    Source: Gupta et al. 2015, section 3, stochastic rounding.
    """
    dtype = AutoConfig.from_pretrained(base).dtype
    if dtype not in HALF_AS_WIDE:
        return
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data = _rounded(weight.data.cpu(), dtype, generator).to(weight.device)


def _fits(weight: Tensor, dtype: torch.dtype) -> bool:
    return torch.equal(weight, weight.to(dtype).to(weight.dtype))


def _rounded(weight: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    near = weight.to(dtype)
    missing = weight - near.float()
    # the number on the other side: as integers, numbers of one sign stand in the order of their size
    away_from_zero = (missing > 0) != torch.signbit(near)
    other = (near.view(torch.int16) + torch.where(away_from_zero, 1, -1).short()).view(dtype)
    if not torch.isfinite(near).all():
        raise TrainingError(f"a weight is too large for {dtype}, which the base is held in; try a lower learning_rate")
    chance = torch.where(missing == 0, 0, missing / (other.float() - near.float()))
    return torch.where(torch.rand(weight.shape, generator=generator) < chance, other, near).float()


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether there is arithmetic for it; without, it would be imitated, and slower than float32."""
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else computes_in_bfloat16()
