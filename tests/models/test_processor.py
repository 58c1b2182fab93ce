"""What is said of the processor, and that bfloat16 is not taken where it would be imitated."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import processor

LOWERED = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
ASK = """
import json, sys
from models.processor import describe_processor
assert "torch" not in sys.modules
from models.network.precision import autocast
import torch
from models.settings.compute import Compute
with autocast(Compute(device="cpu", precision="auto")):
    product = str((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
print(json.dumps(describe_processor() | {"product": product}))
"""


def asked(**environment: str) -> dict:
    """What a new process says in this environment."""
    clean = {name: value for name, value in os.environ.items() if name not in LOWERED}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=clean | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def flags() -> list[str]:
    if not processor.INFORMATION.exists():
        pytest.skip("only Linux says in a file what its processor can do")
    return processor.INFORMATION.read_text(encoding="utf-8").split()


def test_what_the_processor_has_is_used():
    has_bfloat16 = not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags())
    said = asked()
    assert said["bfloat16"] == has_bfloat16
    assert said["product"] == ("torch.bfloat16" if has_bfloat16 else "torch.float32")


def test_what_the_environment_forbids_is_not_used():
    if "avx2" not in flags():
        pytest.skip("this processor has no AVX2 to be held to")
    said = asked(**LOWERED)
    assert (said["kernels"], said["bfloat16"], said["product"]) == ("AVX2", False, "torch.float32")


def test_name_and_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processor, "INFORMATION", tmp_path / "cpuinfo")
    assert processor.processor_name(), "where no file tells, what the system says"
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some CPU: 2 GHz\nprocessor\t: 1\nmodel name\t: Some CPU: 2 GHz\n"
    )
    said = processor.describe_processor()
    assert said["name"] == "Some CPU: 2 GHz"
    assert 1 <= said["cores"] <= (os.cpu_count() or 1)
    assert said["kernels"] == torch.backends.cpu.get_cpu_capability()
