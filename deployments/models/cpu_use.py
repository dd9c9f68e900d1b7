"""How busy the cores are that this process may use: those of its container, else of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from configs.cpu_limits import CGROUPS, MEMBERSHIP, cpu_limits


class CpuUse:
    """Measures the part of the time in which the cores were busy, from 0 to 1.

    In a container with a CPU limit, that is the part of the limit that was used. If several limits
    hold, of a pod and of its container, the fullest counts. Without any it is the use of all cores
    of the machine, whoever uses them. ``clock`` gives seconds.
    """

    def __init__(
        self,
        cgroups: Path = CGROUPS,
        membership: Path = MEMBERSHIP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cgroups = cgroups
        self._membership = membership
        self._clock = clock
        self._at = 0.0
        self._used_s: dict[Path, float] = {}

    def busy(self) -> float:
        """The use since the last call; 0 at the first."""
        machine = psutil.cpu_percent() / 100  # always: it too is of the time since the last call
        limits = cpu_limits(self._cgroups, self._membership)
        before, began = self._used_s, self._at
        self._used_s, self._at = {each.folder: each.used_s for each in limits}, self._clock()
        if not limits:
            return machine
        shares = (
            (each.used_s - before[each.folder]) / (each.cores * (self._at - began))
            for each in limits
            if each.folder in before and self._at > began
        )
        return min(1.0, max(shares, default=0.0))
