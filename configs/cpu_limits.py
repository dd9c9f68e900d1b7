"""The CPU limits of containers: the cores that this process's control groups may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class CpuLimit:
    """The cores that a control group may use, and the seconds that its processes have computed."""

    folder: Path
    cores: float
    used_s: float


def cpu_limits(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> list[CpuLimit]:
    """The CPU limits of this process's control group and of those above it; none outside of Linux.

    ``cpu.max`` and ``cpu.stat`` of version 2
    (https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu), ``cpu.cfs_quota_us`` and
    ``cpuacct.usage`` of version 1 (https://docs.kernel.org/scheduler/sched-bwc.html).
    """
    found = []
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        for group in _upwards(path):
            if not controllers:
                found.append(_of_version_2(cgroups / group))
            elif "cpu" in controllers.split(","):
                found.append(_of_version_1(cgroups / "cpu" / group, cgroups / "cpuacct" / group))
    return [each for each in found if each is not None]


def _upwards(path: str) -> Iterator[PurePosixPath]:
    """``path`` and its parents, relative to where the control groups are mounted.

    A container may see the path that the host knows, and have its own group mounted at the top.
    """
    relative = PurePosixPath(path.lstrip("/"))
    if ".." not in relative.parts:
        yield relative
        yield from relative.parents
    else:
        yield PurePosixPath()


def _of_version_2(group: Path) -> CpuLimit | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        if quota == "max":
            return None
        use = dict(line.split() for line in _lines(group / "cpu.stat"))
        return _limit(group, int(quota) / int(period), int(use["usage_usec"]) / 1e6)
    except (OSError, ValueError, KeyError):  # no such group here, or without this controller
        return None


def _of_version_1(group: Path, usage: Path) -> CpuLimit | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
        used_s = int((usage / "cpuacct.usage").read_text()) / 1e9
    except (OSError, ValueError):
        return None
    return _limit(group, quota / period, used_s) if quota > 0 else None


def _limit(group: Path, cores: float, used_s: float) -> CpuLimit:
    return CpuLimit(group, min(cores, float(os.cpu_count() or cores)), used_s)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
