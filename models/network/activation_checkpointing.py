"""Activation checkpointing: memory for time. Backward computes what happens inside a block again instead of keeping it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from models.errors import ConfigError
from models.network.networks import layers_of
from models.settings.compute import Compute


@contextmanager
def recomputed_activations(compute: Compute, *networks: nn.Module) -> Iterator[None]:
    """Forward passes within keep only what enters each block, where `compute.activation_checkpointing` says so; gradients are the
    same (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").

    Raises ConfigError for a network whose blocks transformers cannot checkpoint.
    """
    blocks = []
    for network in networks if compute.activation_checkpointing else ():
        found = layers_of(network)
        if not found:
            raise ConfigError(f"compute.activation_checkpointing: {type(network).__name__} has no blocks to checkpoint")
        blocks += found
    modes = [block.training for block in blocks]
    for block in blocks:
        block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        block.gradient_checkpointing = block.training = True  # of the block alone: dropout in it stays as it is
    try:
        yield
    finally:
        for block, mode in zip(blocks, modes, strict=True):
            block.gradient_checkpointing, block.training = False, mode
