"""Memory that is freed stays in a process that trains."""

import platform
import subprocess
import sys

import pytest

TAKE_AND_FREE = """
import sys
from pathlib import Path
import torch
from models.settings.training import Training
from models.training.out_of_memory import MemoryBudget
if sys.argv[1] == "train":
    MemoryBudget(Training())
def num_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])
piece = torch.ones(6 * 2**20)
held = num_pages()
del piece
print(held - num_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: its memory is left as it is")
def test_freed_memory_is_kept():
    """A piece of 24 MiB are 6,144 pages."""

    def num_given_back(how: str) -> int:
        command = [sys.executable, "-c", TAKE_AND_FREE, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert num_given_back("train") < 100 and num_given_back("import alone") > 6000
