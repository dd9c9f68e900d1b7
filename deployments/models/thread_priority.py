"""Arithmetic gives way to what receives requests and sends answers."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 5
"""Linux then gives arithmetic a quarter of a core that others want, and all of one that they leave.

More than that gains little, and leaves too little beside other work on the same machine.
"""


def give_way() -> None:
    """Let this thread, and the threads and processes that it begins, run after the others.

    A forward that takes the cores from event loops finds fewer items in line when it ends, and
    small batches cost more an item. Elsewhere than on Linux a thread has no priority of its own.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, NICENESS))
