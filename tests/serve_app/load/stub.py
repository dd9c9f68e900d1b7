"""A stub server with OpenAI's protocol, which can also answer wrongly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse


@dataclass
class Stub:
    """Requests that it received, and how it misbehaves. A closed ``gate`` holds answers back."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    clients: list[object] = field(default_factory=list)  # address of each request's connection
    models: list[str] = field(default_factory=lambda: ["the-only-one"])
    usage: bool = True
    fails: dict[int, int] = field(default_factory=dict)  # number of the request -> status
    stream_end: str = "data: [DONE]\n\n"
    vectors_missing: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0
    most_open: int = 0
    arrivals: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def received(self, times: int) -> None:
        """Wait until so many more requests have arrived."""
        for _ in range(times):
            await self.arrivals.acquire()

    async def list_models(self, request: Request) -> Response:
        return JSONResponse({"data": [{"id": name} for name in self.models]})

    async def answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.clients.append(request.client)
        number = len(self.bodies)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.arrivals.release()
        await self.gate.wait()
        self.open -= 1
        if status := self.fails.get(number):
            return JSONResponse({"error": {"message": "out of order"}}, status)
        if "input" in body:
            vectors = [{"embedding": [0.5, 0.5]} for _ in body["input"][self.vectors_missing :]]
            return JSONResponse({"data": vectors, "usage": {"prompt_tokens": 9}})
        if "documents" in body:
            scores = [{"index": n, "relevance_score": 0.5} for n in range(len(body["documents"]))]
            return JSONResponse({"results": scores, "usage": {"total_tokens": 9}})
        if body.get("stream"):
            return StreamingResponse(self._events(body), media_type="text/event-stream")
        return JSONResponse(
            {
                "choices": [{"message": {"content": "a story"}, "text": "a story"}],
                "usage": {"prompt_tokens": 20, "completion_tokens": body["max_tokens"]},
            }
        )

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[str]:
        def event(**fields: Any) -> str:
            return f"data: {json.dumps(fields)}\n\n"

        chat = "messages" in body
        yield ": a comment, to keep the line open\n\n"
        for word in ["", *["word"] * body["max_tokens"]]:
            said = {"delta": {"content": word}} if chat else {"text": word}
            yield event(choices=[{"index": 0, **said}])
        if self.usage:
            counts = {"prompt_tokens": 20, "completion_tokens": body["max_tokens"] + 1}
            yield event(choices=[], usage=counts)
        yield self.stream_end
