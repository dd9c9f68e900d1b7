"""The end of a replica's process, at which nothing in it is answered any more.

A node that shuts down sends SIGTERM to its processes. Python then refuses work for threads, while
event loops run on for a moment: whatever waits would fail, each with an error of its own. Left
without an answer, a call is lost with its replica, and the ingress asks another one.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor


def interpreter_ends() -> bool:
    """Whether Python has begun to end. To be asked after a failure: it tries to start a thread."""
    probe = ThreadPoolExecutor(1)
    try:
        probe.submit(int)
    except RuntimeError as error:
        return "shutdown" in str(error)  # else there was no room for a thread
    finally:
        probe.shutdown(wait=False)
    return False


async def end_of_process() -> None:
    """Wait for it: this does not return, and can be cancelled."""
    await asyncio.get_running_loop().create_future()
