"""How long large requests keep the ingress's event loop from everybody else.

    python -m bench.loop_stalls

The ingress is in this process, before stand-ins of the families that answer at once; there is no
HTTP server and no Ray. All bodies of a kind arrive in one turn of the loop. Measured is the longest
turn, and the longest eight in a row, which is about what a small request takes: in processor time
of the loop's thread, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import click
import numpy as np
import uvloop
from starlette.types import ASGIApp, Message

from bench.pairs import machine, table
from bench.stand_in import Ready, StandInHandle
from configs.profile_file import load_profile
from configs.settings import Settings
from deployments.models.call_receiver import CallReceiver
from deployments.seam.embeddings import EmbeddingRequest, EmbeddingResult
from deployments.seam.reranking import RerankRequest, RerankResult
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import NATIVE_PREFIX, Services

TEXTS = 2000
VECTORS = np.random.default_rng(0).random((TEXTS, 384), np.float32)
CLIENTS = (1, 20)
IN_A_ROW = 8
PROSE = "Well, he said, no: yes. "


class StandInEncoders(CallReceiver):
    """Answers for the families of embeddings and of reranking."""

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        return EmbeddingResult(VECTORS, (5,) * len(request.texts), {})

    async def rerank(self, request: RerankRequest) -> RerankResult:
        count = len(request.documents)
        return RerankResult(tuple(map(float, range(count))), (5,) * count)


def kinds() -> Mapping[str, tuple[str, dict[str, Any]]]:
    """Paths and bodies, by what they are called in the table."""
    few = ["a b c"] * TEXTS
    rerank, documents = f"{NATIVE_PREFIX}/rerank", [PROSE * 190] * TEXTS
    return {
        "1 MB of documents": (rerank, {"query": "a", "documents": [PROSE * 20] * TEXTS}),
        "9 MB of documents": (rerank, {"query": "a", "documents": documents}),
        "2,000 vectors": ("/v1/embeddings", {"input": few}),
        "2,000 vectors, base64": ("/v1/embeddings", {"input": few, "encoding_format": "base64"}),
    }


def application() -> ASGIApp:
    profile, settings = load_profile("embedded"), Settings()
    handles = {each.name: StandInHandle(StandInEncoders()) for each in profile.families}
    client = DeploymentClient(handles, settings.request_timeout_s)
    services = Services(Catalog(profile, settings), client, settings, Ready())
    return create_app(services, routers_of(profile))


async def posted(app: ASGIApp, path: str, body: bytes) -> int:
    """The status of the answer."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    status = 0

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {"type": "http", "method": "POST", "path": path, "root_path": ""}
    headers = [(b"content-type", b"application/json")]
    more = {"raw_path": path.encode(), "query_string": b"", "headers": headers}
    await app(scope | more, receive, send)
    return status


async def turns(app: ASGIApp, path: str, body: bytes, clients: int) -> list[float]:
    """How long each turn of the loop took until so many requests were answered, in seconds."""
    work = asyncio.gather(*(posted(app, path, body) for _ in range(clients)))
    taken: list[float] = []
    before = time.thread_time()
    while not work.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        taken.append(now - before)
        before = now
    if set(work.result()) != {200}:
        raise AssertionError(f"{path} was answered {set(work.result())}")
    return taken


def figures(taken: Sequence[float]) -> tuple[float, float]:
    """The longest turn, and the longest turns in a row, in milliseconds."""
    in_a_row = (sum(taken[start : start + IN_A_ROW]) for start in range(len(taken)))
    return max(taken) * 1e3, max(in_a_row) * 1e3


async def measured(rounds: int) -> list[list[str]]:
    app, rows = application(), []
    gc.collect()
    gc.freeze()
    for name, (path, body) in kinds().items():
        row = [name]
        for clients in CLIENTS:
            content = json.dumps(body).encode()
            seen = [figures(await turns(app, path, content, clients)) for _ in range(rounds)]
            row += [" / ".join(f"{median(each):.0f}" for each in zip(*seen, strict=True))]
        rows.append(row)
    return rows


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
def main(rounds: int) -> None:
    """The longest turns of the ingress's event loop beside large requests."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(measured(rounds))
    click.echo(f"{machine()}. Longest turn / {IN_A_ROW} turns in a row, ms\n")
    click.echo(table(["requests", *(f"{each} at once" for each in CLIENTS)], rows))


if __name__ == "__main__":
    main()
