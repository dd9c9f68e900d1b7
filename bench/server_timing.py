"""Where the time of one request went: its ``Server-Timing`` header, as disjoint parts."""

from __future__ import annotations

import re
from collections import defaultdict

ASKED = {"X-Timeline": "1"}
"""Headers of a request that wants one."""

DURATION = re.compile(r"(?:^|, )(\w+);dur=([\d.]+)")


def disjoint_parts(header: str, latency: float) -> dict[str, float]:
    """Seconds of each part of a request that took its client ``latency``.

    Beside the stages that the replica measured: ``http`` to the ingress and back, ``ingress`` in
    it, and ``way`` to the replica, in it outside of all stages, and back. Of a request whose calls
    or stages overlap, those three are too small.
    """
    stages: defaultdict[str, float] = defaultdict(float)
    for name, milliseconds in DURATION.findall(header):
        stages[name] += float(milliseconds) / 1000
    total, calls = stages.pop("total", 0.0), stages.pop("call", 0.0)
    around = {
        "http": latency - total,
        "ingress": total - calls,
        "way": calls - sum(stages.values()),
    }
    return {**around, **stages}
