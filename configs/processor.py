"""The processor's name, its usable cores and its bfloat16 support, without slow imports."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""The CPU flags of Linux for bfloat16 arithmetic, on x86 and on ARM."""


def usable_cores() -> int:
    """Cores that this process may run on; outside of Linux, all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """Model name, and family and model numbers: ``AMD EPYC (25/1)``."""
    names = _values(cpuinfo, "model name")
    if not names:
        return platform.processor() or platform.machine()
    numbers = [each[0] for key in ("cpu family", "model") if (each := _values(cpuinfo, key))]
    return f"{names[0]} ({'/'.join(numbers)})" if numbers else names[0]


def native_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor has bfloat16 arithmetic; false outside of Linux."""
    flags = _values(cpuinfo, "flags") or _values(cpuinfo, "Features")
    return bool(flags) and not BFLOAT16.isdisjoint(flags[0].split())


def _values(cpuinfo: Path, key: str) -> list[str]:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for name, _, value in pairs if name.strip() == key]
