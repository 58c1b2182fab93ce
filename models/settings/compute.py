"""The settings of where the networks run."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.settings.base import Count, Settings


class Compute(Settings):
    """Where and in which precision the networks run, and over how many processes they are trained.

    For caching device and precision count as what they come to on this machine (tasks/running/environment.py).
    """

    uncounted_fields = ("device", "precision", "activation_checkpointing", "num_processes", "sharding", "max_restarts")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU when there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of forward and backward passes (weights stay float32). `auto`: bfloat16 on a GPU or CPU that has it, else float32."""
    activation_checkpointing: bool = False
    """Keep only what enters each block and compute the rest again in the backward pass: less memory, a third more time."""
    num_processes: Count = 1
    """Processes on this machine that train together (pretraining, sft, reward, tuning), on CUDA a GPU each. Changes no number but by rounding (and dropout)."""
    sharding: Literal["none", "fsdp2"] = "none"
    """none: each process holds whole networks; fsdp2: a piece of each trained network, its gradient and optimizer state. Changes no number but by rounding."""
    max_restarts: Annotated[int, Field(ge=0)] = 3
    """How often processes that train together are started again from the newest checkpoint, when one of them dies."""

    @model_validator(mode="after")
    def _shards_over_several(self) -> "Compute":
        if self.sharding != "none" and self.num_processes == 1:
            raise ValueError("sharding needs num_processes above 1")
        return self

    def require_rows(self, name: str, num_rows: int) -> None:
        """Raises ValueError when a process would have no row of an optimizer step of `name`, which has so many."""
        if num_rows < self.num_processes:
            raise ValueError(f"compute.num_processes exceeds the {num_rows} rows of an optimizer step of `{name}`")
