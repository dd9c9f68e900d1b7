import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from bench.background import stopped

LIMIT_S = 10.0


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def becomes(process: psutil.Process, statuses: set[str]) -> bool:
    """Whether a process gets one of these statuses, which the kernel does a moment later."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if process.status() in statuses:
            return True
        time.sleep(0.01)
    return False


def test_stopped_processes_go_on_afterwards_also_if_measuring_failed(
    sleeper: psutil.Process,
) -> None:
    def fail() -> None:
        assert becomes(sleeper, {psutil.STATUS_STOPPED})
        raise RuntimeError("measuring")

    with pytest.raises(RuntimeError, match="measuring"), stopped([sleeper]):
        fail()
    assert becomes(sleeper, {psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING})


def test_a_process_that_has_ended_is_no_reason_to_fail(sleeper: psutil.Process) -> None:
    with stopped([sleeper]):
        sleeper.kill()
        sleeper.wait(LIMIT_S)
