"""What a processor's matrix products can do, and how many of their operations a piece of work has."""

import timeit
from collections.abc import Callable
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

WIDTHS = (512, 1024, 2048)
NUM_TRIES = 5

Result = TypeVar("Result")


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations a second: `2 width^3` over the seconds of a product of two square matrices, the best of several widths and tries."""
    products = [square_product(width, dtype, torch.device("cpu")) for width in WIDTHS]
    return max(num_operations / _seconds(multiply) for multiply, num_operations in products)


def square_product(width: int, dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], object], int]:
    """A product of two square matrices to be timed, and its `2 width^3` operations."""
    left, right = torch.randn(2, width, width, device=device).to(dtype)
    product = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=product), 2 * width**3


def _seconds(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=1, repeat=NUM_TRIES))


def counted(work: Callable[[], Result]) -> tuple[Result, int]:
    """What the work gives, and the operations of all its matrix products, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        result = work()
    return result, counter.get_total_flops()
