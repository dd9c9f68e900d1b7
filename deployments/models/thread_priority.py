"""Runs arithmetic at a lower priority than the event loops that receive and answer requests."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 5
"""The niceness of threads that compute: Linux gives them a quarter of a core that others want too.

A higher value gains little, and leaves too little beside other work on the same machine
(``python -m bench.embeddings``).
"""


def lower_thread_priority() -> None:
    """Lower the priority of this thread, and of the threads and processes that it starts.

    While a forward takes the cores from event loops, fewer items get into the queue, so the next
    batch is smaller and costs more an item. Only on Linux does a thread have its own priority.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, NICENESS))
