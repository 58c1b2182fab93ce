"""The processor, and what torch computes with on it. Loads no torch until it is asked."""

import os
import platform
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")


def describe_processor() -> dict[str, str | int | bool]:
    """`name`; `cores` that this process may use; `kernels`: the instruction set that torch has chosen its code for, which
    the environment (`ATEN_CPU_CAPABILITY`) can lower; `bfloat16`: whether torch computes in it, and does not imitate it."""
    import torch

    return {
        "name": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": computes_in_bfloat16(),
    }


def processor_name() -> str:
    """As the processor calls itself, where the system tells."""
    lines = INFORMATION.read_text(encoding="utf-8").splitlines() if INFORMATION.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def computes_in_bfloat16() -> bool:
    """Whether the processor has arithmetic for bfloat16 and torch is allowed to use it.

    Without, torch imitates it, at a tenth of float32's speed. The processor's own list does not tell what the environment forbids.
    """
    import torch

    capabilities = torch.cpu.get_capabilities()
    has_arithmetic = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return has_arithmetic and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
