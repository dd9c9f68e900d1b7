"""How much of the machine others took while something was measured."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

SAMPLE_S = 2.0
CLOCKS = ("user", "nice", "system", "irq", "softirq", "idle", "iowait", "steal")  # of Linux


@dataclass
class Neighbours:
    """CPU shares of other processes and of the hypervisor, from 0 to 1 (all cores)."""

    others: float = 0.0
    stolen: float = 0.0

    def __str__(self) -> str:
        stolen = f", the hypervisor {self.stolen:.0%}" if self.stolen >= 0.005 else ""
        return f"Other processes took {self.others:.0%} of the machine meanwhile{stolen}."


@contextlib.contextmanager
def watched() -> Iterator[Neighbours]:
    """Watch while the block runs; the figures are there after it.

    Ours are this process and its descendants. What one of them used in the seconds before it ended
    counts as of others, so that nothing is made to look quieter than it was.
    """
    seen, over = Neighbours(), threading.Event()
    watching = threading.Thread(target=_watch, args=(seen, over), daemon=True)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def _watch(seen: Neighbours, over: threading.Event) -> None:
    began, mine, ours_s = psutil.cpu_times(), _ours(), 0.0
    while not over.wait(SAMPLE_S):
        used = _ours()
        ours_s += sum(spent - mine.get(process, 0.0) for process, spent in used.items())
        mine = used
        seen.others, seen.stolen = shares(began, psutil.cpu_times(), ours_s)


def shares(began: Any, now: Any, ours_s: float) -> tuple[float, float]:
    """CPU shares of other processes and of the hypervisor between two ``psutil.cpu_times()``."""
    spent = {name: getattr(now, name) - getattr(began, name) for name in CLOCKS}
    whole_s = sum(spent.values())
    busy_s = whole_s - spent["idle"] - spent["iowait"] - spent["steal"]
    return max(0.0, busy_s - ours_s) / whole_s, spent["steal"] / whole_s


def _ours() -> dict[psutil.Process, float]:
    used = {}
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[process] = times.user + times.system
    return used
