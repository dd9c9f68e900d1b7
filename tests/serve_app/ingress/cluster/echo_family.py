"""A family that answers a text with the text, and clients that ask it many things at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from deployments.models.joined_calls import CallRunner
from deployments.seam.joined_calls import CancelledCalls, JoinedAnswers, JoinedCalls
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from tests.serve_app.local_handle import PATIENCE_S, Contextual, LocalHandle

FIRST = "first"


@dataclass(frozen=True)
class Asked:
    """A request; its replica answers with ``text`` once ``text`` is allowed, if that is awaited."""

    text: str
    model: str = "house/vectors"


class Echo(Contextual):
    """A family that answers a text with the text, unless it is told otherwise."""

    def __init__(self, max_running: int | None = None) -> None:
        super().__init__()
        self.lists: list[JoinedCalls] = []
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.began: dict[str, asyncio.Event] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.ended = asyncio.Event()
        self.answers: dict[str, Callable[[], Any]] = {}
        self._calls = CallRunner(self, lambda: max_running)

    def hold(self, *texts: str) -> None:
        """Answer these only when :meth:`release` is called."""
        for text in texts:
            self.gates[text], self.began[text] = asyncio.Event(), asyncio.Event()

    def release(self, text: str) -> None:
        self.gates[text].set()

    async def embed(self, asked: Asked) -> Any:
        if asked.text == FIRST:
            return FIRST
        self.asked.append(asked.text)
        try:
            if asked.text in self.gates:
                self.began[asked.text].set()
                await self.gates[asked.text].wait()
            return self.answers.get(asked.text, lambda: asked.text)()
        except asyncio.CancelledError:
            self.stopped.append(asked.text)
            self.ended.set()
            raise

    async def reverse(self, asked: Asked) -> str:
        return asked.text[::-1]

    async def call_many(self, calls: JoinedCalls) -> AsyncIterator[JoinedAnswers]:
        self.lists.append(calls)
        async for ready in self._calls.run(calls):
            yield ready

    async def cancel_calls(self, cancelled: CancelledCalls) -> None:
        self._calls.cancel(cancelled)

    @property
    def sizes(self) -> list[int]:
        return [len(calls.requests) for calls in self.lists]


def client(family: Any, timeout_s: float = PATIENCE_S) -> DeploymentClient:
    return DeploymentClient({"texts": LocalHandle(family)}, timeout_s, joined=["texts"])


async def ask(calls: DeploymentClient, text: str, model: str = "house/vectors") -> Any:
    return await calls.call("texts", "embed", Asked(text, model))


def asking(calls: DeploymentClient, *texts: str) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(ask(calls, text)) for text in texts]


def joined(calls: DeploymentClient, *texts: str) -> list[asyncio.Task[Any]]:
    """The same, behind another call, so that they travel as a list."""
    return asking(calls, FIRST, *texts)[1:]
