"""The processor's name, its usable cores and its bfloat16 support, without slow imports."""

from __future__ import annotations

import os
import platform
from math import ceil
from pathlib import Path

from configs.cpu_limits import CGROUPS, MEMBERSHIP, cpu_limits

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""The CPU flags of Linux for bfloat16 arithmetic, on x86 and on ARM."""


def usable_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Cores that this process may run on; outside of Linux, all cores.

    In a container with a CPU limit no more than that, rounded up: more threads would only have the
    kernel stop all of them for the rest of each period.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limits = (ceil(each.cores) for each in cpu_limits(cgroups, membership))
    return min([cores, *limits])


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
