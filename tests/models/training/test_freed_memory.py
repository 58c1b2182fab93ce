"""Memory that is freed stays in a process that trains."""

import platform
import subprocess
import sys

import pytest

TAKE_AND_FREE = """
from pathlib import Path
import torch
from models.settings.training import Training
from models.training.out_of_memory import MemoryBudget
def num_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])
def num_given_back():
    piece = torch.ones(6 * 2**20)
    held = num_pages()
    del piece
    return held - num_pages()
before = num_given_back()
MemoryBudget(Training())
print(before, num_given_back())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: its memory is left as it is")
def test_freed_memory_is_kept():
    """A piece of 24 MiB are 6,144 pages."""
    done = subprocess.run([sys.executable, "-c", TAKE_AND_FREE], capture_output=True, text=True, check=True)
    by_itself, in_training = map(int, done.stdout.split())
    assert in_training < 100 and by_itself > 6000
