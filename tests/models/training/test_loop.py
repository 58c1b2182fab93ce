"""The precision that networks run in."""

import os
from pathlib import Path

import pytest
import torch

from models.network.precision import autocast
from models.settings.compute import Compute


def precision_of_products(compute: Compute) -> torch.dtype:
    with autocast(compute):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_the_precision_asked_for_is_the_one_of_products():
    assert precision_of_products(Compute(device="cpu", precision="float32")) == torch.float32
    assert precision_of_products(Compute(device="cpu", precision="bfloat16")) == torch.bfloat16


def test_auto_takes_bfloat16_on_a_cpu_that_computes_in_it():
    information = Path("/proc/cpuinfo")
    if not information.exists():
        pytest.skip("only Linux says in a file what its processor can do")
    flags = information.read_text(encoding="utf-8").split()
    is_held_back = os.environ.get("ATEN_CPU_CAPABILITY", "avx512") != "avx512"
    has_bfloat16 = ("avx512_bf16" in flags or "amx_bf16" in flags) and not is_held_back
    expected = torch.bfloat16 if has_bfloat16 else torch.float32
    assert precision_of_products(Compute(device="cpu", precision="auto")) == expected
