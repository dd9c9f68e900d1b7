"""When a process ends, what waits in it is not answered: it would be by errors."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deployments.models import call_receiver
from deployments.models.call_receiver import CallReceiver
from deployments.models.process_end import interpreter_ends
from deployments.seam.call_context import CallContext, ContextualCall

ENDING = """
import atexit, threading, time
from deployments.models.process_end import interpreter_ends

ended = threading.Event()
atexit.register(ended.wait, 30)  # as Ray does: it takes its leave while other threads go on

def watch() -> None:
    print(interpreter_ends(), flush=True)
    while not interpreter_ends():
        time.sleep(0.01)
    print("it ends", flush=True)
    ended.set()

watching = threading.Thread(target=watch, daemon=True)
watching.start()
time.sleep(0.1)
"""


def test_it_is_known_when_python_has_begun_to_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split("\n") == ["False", "it ends", ""], done.stderr
    assert not interpreter_ends()


class Failing(CallReceiver):
    async def work(self, request: str) -> None:
        raise LookupError

    async def stream(self, request: str) -> AsyncGenerator[str, None]:
        yield "a"
        raise LookupError


CALL: Any = ContextualCall("", CallContext())


async def test_a_call_that_fails_while_its_process_ends_is_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(LookupError):
        await Failing().work(CALL)
    monkeypatch.setattr(call_receiver, "interpreter_ends", lambda: True)
    unary = asyncio.create_task(Failing().work(CALL))
    stream = Failing().stream(CALL)
    assert await anext(stream) == "a"
    streamed = asyncio.ensure_future(anext(stream))
    done, _ = await asyncio.wait({unary, streamed}, timeout=0.05)
    assert not done
    for each in (unary, streamed):
        each.cancel()
    await asyncio.wait({unary, streamed})
    assert unary.cancelled()
