"""Runs loads against servers and libraries: once, or as one side of a comparison.

All servers are measured with the client of `prsm-serve bench`, so its cost is the same for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count

import uvloop

from bench.pairs import Side, tell
from bench.peers.inprocess import Library
from bench.peers.running import Server, ServerFailed
from serve_app.load.client import LoadClient
from serve_app.load.figures import LoadFigures
from serve_app.load.load import Load

Figure = Callable[[LoadFigures], float]


class IncompleteError(RuntimeError):
    """A server failed some requests, so its figures cannot be compared."""


@contextlib.contextmanager
def noting_failures(notes: list[str]) -> Iterator[None]:
    """Go on when a peer cannot be set up, started or measured, and add the reason to ``notes``."""
    try:
        yield
    except (IncompleteError, ServerFailed, subprocess.SubprocessError) as error:
        notes.append(f"Not measured: {error}")
        tell(notes[-1])


@contextlib.contextmanager
def interruptible(notes: list[str]) -> Iterator[None]:
    """Let Ctrl-C end the block only, so that the results before it are still printed."""
    try:
        yield
    except KeyboardInterrupt:
        notes.append("Interrupted: the rest was not measured.")
        tell(notes[-1])


def run_loads(server: Server, *loads: Load) -> list[LoadFigures]:
    """Run ``loads`` at the same time against a running server.

    Raises ``IncompleteError`` when a request fails.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_run_loads(server, loads))
    for each in figures:
        if each.errors:
            raise IncompleteError(f"{server.name}: {each.errors}: {each.details}")
    return figures


async def _run_loads(server: Server, loads: Sequence[Load]) -> list[LoadFigures]:
    named = [replace(load, model=load.model or server.model) for load in loads]
    streaming = [replace(load, stream=load.stream and server.streams) for load in named]
    async with LoadClient.open(server.url, reuse_connections=server.keeps_connections) as bench:
        return list(await asyncio.gather(*(bench.run(load) for load in streaming)))


def http_side(
    server: Server,
    load: Load,
    figure: Figure,
    *,
    arithmetic: str | None = None,
    collected: list[LoadFigures] | None = None,
) -> Side:
    """A server as a side: each round has its own texts, the same ones on both sides.

    ``figure`` picks the figure to compare; ``collected`` gets all figures of every round.
    """
    seeds = count(load.seed)

    def measure() -> float:
        (figures,) = run_loads(server, replace(load, seed=next(seeds)))
        if collected is not None:
            collected.append(figures)
        return figure(figures)

    return Side(server.name, arithmetic or server.arithmetic, measure)


def library_side(
    library: Library,
    load: Load,
    figure: Figure,
    *,
    arithmetic: str,
    collected: list[LoadFigures] | None = None,
) -> Side:
    """A library as a side, with the texts that servers get; otherwise as ``http_side``."""
    seeds = count(load.seed)

    def measure() -> float:
        figures = library.run(replace(load, seed=next(seeds)))
        if collected is not None:
            collected.append(figures)
        return figure(figures)

    return Side(library.name, arithmetic, measure)
