"""One client program for every server: a load run once, or as a side of a comparison."""

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
    """A server did not answer everything, so its figures compare with nothing."""


@contextlib.contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Go on without a peer that cannot be set up, started or measured, and note why."""
    try:
        yield
    except (IncompleteError, ServerFailed, subprocess.SubprocessError) as error:
        notes.append(f"Not measured: {error}")
        tell(notes[-1])


@contextlib.contextmanager
def interruptible(notes: list[str]) -> Iterator[None]:
    """Ctrl-C leaves the block, so that what was measured before it is still told."""
    try:
        yield
    except KeyboardInterrupt:
        notes.append("Interrupted: the rest was not measured.")
        tell(notes[-1])


def ask(server: Server, *loads: Load) -> list[LoadFigures]:
    """Run ``loads`` at the same time against a running server.

    Raises ``IncompleteError`` when a request fails.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_ask(server, loads))
    for each in figures:
        if each.errors:
            raise IncompleteError(f"{server.name}: {each.errors}: {each.details}")
    return figures


async def _ask(server: Server, loads: Sequence[Load]) -> list[LoadFigures]:
    named = [replace(load, model=load.model or server.model) for load in loads]
    streaming = [replace(load, stream=load.stream and server.streams) for load in named]
    async with LoadClient.open(server.url) as bench:
        return list(await asyncio.gather(*(bench.run(load) for load in streaming)))


def http_side(
    server: Server,
    load: Load,
    figure: Figure,
    *,
    arithmetic: str | None = None,
    heard: list[LoadFigures] | None = None,
) -> Side:
    """A server as a side: every round asks with other texts, the same ones on both sides.

    ``heard`` gets all figures of every round, of which ``figure`` picks the one to compare.
    """
    seeds = count(load.seed)

    def measure() -> float:
        (figures,) = ask(server, replace(load, seed=next(seeds)))
        if heard is not None:
            heard.append(figures)
        return figure(figures)

    return Side(server.name, arithmetic or server.arithmetic, measure)


def library_side(library: Library, load: Load, arithmetic: str) -> Side:
    """A library as a side, with the texts that a server gets; its figure is units a second."""
    seeds = count(load.seed)

    def measure() -> float:
        return library.rate(replace(load, seed=next(seeds)))

    return Side(library.name, arithmetic, measure)
