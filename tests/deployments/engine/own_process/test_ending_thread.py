"""The thread of one call: it returns, raises, and leaves no threads that compute behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deployments.engine.own_process.ending_thread import in_ending_thread

COUNTED = """
import os, time, torch
from deployments.engine.own_process.ending_thread import in_ending_thread

def threads():
    return len(os.listdir("/proc/self/task"))

def compute():
    torch.ones(1_000_000).exp_()
    return threads()

torch.set_num_threads(3)
before = threads()
during = in_ending_thread(compute)
assert during >= before + 3, (before, during)
for _ in range(1000):  # threads end a little after they are joined
    if threads() <= before:
        break
    time.sleep(0.01)
assert threads() <= before, (before, threads())
"""


def test_it_returns_and_raises_what_the_function_does() -> None:
    assert in_ending_thread(lambda: 7) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        in_ending_thread(lambda: int("seven"))


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that /proc shows")
def test_the_threads_that_torch_computed_with_end_too() -> None:
    subprocess.run([sys.executable, "-c", COUNTED], check=True, timeout=300)
