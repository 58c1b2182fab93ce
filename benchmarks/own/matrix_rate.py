"""What a processor's matrix products can do, and how many of their operations a piece of work has."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

WIDTHS = (512, 1024, 2048)
NUM_TRIES = 5

Result = TypeVar("Result")


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations a second: `2 width^3` over the seconds of a product of two square matrices, the best of several widths and tries."""
    return max(2 * width**3 / _seconds(*torch.randn(2, width, width).to(dtype)) for width in WIDTHS)


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    times = []
    for _ in range(NUM_TRIES):
        started = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - started)
    return min(times)


def counted(work: Callable[[], Result]) -> tuple[Result, int]:
    """What the work gives, and the operations of all its matrix products, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        result = work()
    return result, counter.get_total_flops()
