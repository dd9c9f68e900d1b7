"""A client that does not wait for the cores of the service that it measures."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

PRIORITY = 20
"""Of 1 to 99: any of them is before every thread that has none."""


@contextlib.contextmanager
def before_others() -> Iterator[bool]:
    """Run this thread, and those that it starts, before all others of the machine.

    A client on a machine of its own waits for no core. One on the service's machine does: beside
    two busy cores a thread of another login session waited up to 2.5 s for one (Linux 6.18), which
    the service can do nothing about. Only Linux has this, for those who may; yields whether. Do not
    start processes meanwhile: they would have it as well.
    """
    if sys.platform != "linux":
        yield False
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, *before)
