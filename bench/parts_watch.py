"""What the parts of a running graph take over time, and whether that stays as it was."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median

import psutil

PARTS = {
    "ServeReplica:prsm:": "",  # named by what follows, the deployment
    "own_process.server": "torch engine",
    "openvino.process": "OpenVINO engine",
    "ServeController": "controller",
    "haproxy -": "HAProxy",
    "raylet/raylet": "raylet",
    "gcs_server": "GCS",
}
OTHERS = "Ray's other processes"
TOLERANCE = 0.03
TOLERANCE_MIB = 16.0
TOLERANCE_COUNT = 2.0


@dataclass(frozen=True)
class PartUse:
    """What the processes of one part have at one moment."""

    memory_mib: float = 0.0
    descriptors: float = 0
    threads: float = 0

    def __add__(self, other: PartUse) -> PartUse:
        return PartUse(
            self.memory_mib + other.memory_mib,
            self.descriptors + other.descriptors,
            self.threads + other.threads,
        )


@dataclass(frozen=True)
class Growth:
    """How one figure of a part went from the second quarter of a run to its last one.

    The first quarter is for caches to fill. It is flat if the median grew by no more than three
    per cent, or 16 MiB of memory, or two descriptors or threads.
    """

    part: str
    figure: str
    before: float
    after: float

    @property
    def is_flat(self) -> bool:
        spare = TOLERANCE_MIB if self.figure == "memory_mib" else TOLERANCE_COUNT
        return self.after - self.before <= max(spare, TOLERANCE * self.before)


def part_of(command: str) -> str:
    """The part that a process with this command line belongs to."""
    for mark, part in PARTS.items():
        if mark in command:
            return part or re.split(r"\W", command.partition(mark)[2])[0]
    return OTHERS


def uses(launcher: int) -> dict[str, PartUse]:
    """What each part below the launcher's process takes now."""
    found: dict[str, PartUse] = {}
    for process in psutil.Process(launcher).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            part = part_of(" ".join(process.cmdline()))
            use = PartUse(
                process.memory_full_info().uss / 2**20, process.num_fds(), process.num_threads()
            )
            found[part] = found.get(part, PartUse()) + use
    return found


def growths(looks: Sequence[Mapping[str, PartUse]]) -> list[Growth]:
    """Every figure of every part, at its median in the second and in the last quarter of looks."""
    parts = sorted({part for look in looks for part in look})
    return [
        Growth(part, figure.name, *quarters([_figure(look, part, figure.name) for look in looks]))
        for part in parts
        for figure in fields(PartUse)
    ]


def quarters(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the second and of the last quarter of ``values``, at least four of them."""
    quarter = len(values) // 4
    return median(values[quarter : 2 * quarter]), median(values[-quarter:])


def _figure(look: Mapping[str, PartUse], part: str, figure: str) -> float:
    return float(getattr(look.get(part, PartUse()), figure))
