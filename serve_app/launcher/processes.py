"""Finds the processes of a start by a variable that they inherit, and ends all of them."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from threading import Event

import psutil

from serve_app.launcher.environment import MARKER

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 10
POLL_S = 0.05
REAP_LIMIT_S = 1.0


def become_subreaper() -> None:
    """On Linux: adopt descendants whose parents die, so that they are found and reaped here."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def marked(run_id: str) -> list[psutil.Process]:
    """Processes of the run `run_id`, except this one."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        # Other users' processes cannot be read, and some end while we look.
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARKER) == run_id:
                found.append(process)
    return found


def drain(run_id: str, limit_s: float, hurry: Event) -> None:
    """Let a run's HAProxy finish the answers under way; it takes no new connections meanwhile."""
    proxies = []
    for process in marked(run_id):
        with contextlib.suppress(psutil.Error):
            if process.name() == "haproxy":
                process.send_signal(signal.SIGUSR1)
                proxies.append(process)
    wait(proxies, limit_s, hurry)


def end(run_id: str, grace_s: float, hurry: Event | None = None) -> list[int]:
    """End every process of a run: SIGTERM, and SIGKILL after `grace_s` or once `hurry` is set.

    Returns the ids of processes that survived.
    """
    processes = marked(run_id)
    _signal(processes, psutil.Process.terminate)
    wait(processes, grace_s, hurry)
    for _ in range(ROUNDS):
        # A supervisor that dies after its child may have started another one meanwhile.
        processes = marked(run_id)
        if not processes:
            break
        _signal(processes, psutil.Process.kill)
        wait(processes, 1.0)
    _reap_all()
    return [process.pid for process in marked(run_id)]


def wait(processes: list[psutil.Process], limit_s: float, hurry: Event | None = None) -> bool:
    """Wait until all `processes` have ended, at most `limit_s` and not once `hurry` is set.

    Returns whether they have ended.
    """
    limit = time.monotonic() + limit_s
    while True:
        reap()
        if not any(is_alive(process) for process in processes):
            return True
        if time.monotonic() >= limit or (hurry is not None and hurry.is_set()):
            return False
        time.sleep(POLL_S)


def reap(keep: int | None = None) -> None:
    """Collect adopted children that have ended, until `keep`, whose status someone waits for."""
    while (child := _ended_child()) not in (None, keep):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def _reap_all() -> None:
    """Collect late orphans: a process is adopted only once its parent has ended completely."""
    limit = time.monotonic() + REAP_LIMIT_S
    while time.monotonic() < limit and _ended_child() is not None:
        reap()
        time.sleep(POLL_S)


def _ended_child() -> int | None:
    """A child that has ended and was not collected yet.

    Only the kernel is asked: psutil finds children by reading every process of the machine, which
    is too much for every second that a launcher watches its graph.
    """
    if sys.platform != "linux":
        return None  # no orphans are adopted there
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there is no child
        return None
    return ended.si_pid if ended is not None else None


def is_alive(process: psutil.Process) -> bool:
    """Whether the process still runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(processes: list[psutil.Process], action: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            action(process)
