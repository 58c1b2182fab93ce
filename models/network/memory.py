"""Memory that a step has freed is kept for the next one; and whether an error says that there was none left."""

import ctypes
import sys
from functools import cache

import torch

# of malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20


@cache
def keep_freed_memory() -> None:
    """Has the C library (glibc; others are left as they are) keep freed memory in this process, up to 32 MiB a piece.

    By itself it gives much of it back, and takes it again a page at a time: tens of thousands of pages a training step, each
    filled with zeros first. The process stays as large as it once was.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, -1)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU, torch on the CPU, numpy or Python could not get the memory it asked for."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def free_what_failed() -> None:
    """Gives what a broken pass on a GPU had taken back. Not inside `except`: there the error still holds on to it."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
