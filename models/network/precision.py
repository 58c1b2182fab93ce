"""Where a network computes, and in which precision."""

import contextlib

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from models.errors import ConfigError
from models.processor import computes_in_bfloat16
from models.settings.compute import Compute


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


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether there is arithmetic for it; without, it would be imitated, and slower than float32."""
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else computes_in_bfloat16()
