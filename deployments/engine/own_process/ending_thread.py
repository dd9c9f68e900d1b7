"""Runs a function on a thread of its own, whose OpenMP threads end with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_ending_thread(function: Callable[[], T]) -> T:
    """What ``function`` returns or raises, called on a thread that has ended by then.

    Torch computes with OpenMP, which keeps a pool of threads for every thread that ever computed.
    As soon as a process has more of them than cores, all of them sleep at the end of each parallel
    operation instead of waiting awake for the next one, and waking them takes longer than most
    operations: the torch engine decodes a third fewer tokens a second (libgomp,
    ``gomp_throttled_spin_count_var``). So a thread that computes only once, as for loading a model,
    must not outlive its work where another one computes from then on.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="once") as thread:
        return thread.submit(function).result()
