# ruff: noqa: T201 - a command that prints tables
"""Chat over HTTP, tokens a second: this service against other servers and in-process libraries.

    python -m bench.chat [--rounds 3] [--clients 16] [--dtype auto] [--peers transformers engine]

The clients send prompts of mixed lengths for 48 new tokens. This service runs with text generation
only, beside one peer at a time; both are measured in turn. The ratio is ours / theirs: above 1 this
service is faster. Every side has the weights of one GGUF file, as they are (Q4_1) or converted to
float32; "float32" and "generate" are compared with its torch engine in float32. It takes both cores
and about nine minutes; peers that would begin later are left out, with a note.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from bench.load_sides import http_side, interruptible, library_side, noting_failures, run_loads
from bench.neighbours import watched
from bench.pairs import Pair, Side, alternated, machine, table, tell
from bench.peers.inprocess import ENGINE_DTYPES, Library, library
from bench.peers.running import Server, end_on_sigterm
from bench.peers.servers import llama_cpp, llama_server, ours, plain_serve, transformers_serve
from bench.peers.weights import CHAT, CHAT_FLOAT32, dtype_of
from serve_app.load.figures import LoadFigures
from serve_app.load.load import Load

LOAD = Load("chat", clients=16, requests=16, texts="mixed", new_tokens=48)
WARM_UP = 4
SEEDS_APART = 100
BEGIN_LIMIT_S = 450.0


@dataclass(frozen=True)
class Peer:
    """A peer, the model of ours that it is compared with, and the ratios that we aim at, by the
    number of clients and our ``--dtype``.

    ``waves`` is the number of requests that each client sends in one measurement. One is enough for
    peers with static batches or one request at a time; continuous batching takes more.
    ``max_rounds`` bounds the time of a slow comparison.
    """

    start: Callable[[], AbstractContextManager[Server | Library]]
    arithmetic: str
    model: str = CHAT
    aims: Mapping[tuple[int, str], str] = field(default_factory=dict)
    waves: int = 1
    max_rounds: int = 9


def peers(clients: int, dtype: str) -> dict[str, Peer]:
    """All peers by name. ``dtype`` is ours; our engine in-process has the same."""
    own_engine = "our engine" if dtype == "auto" else f"our engine in {dtype}"
    return {
        "transformers": Peer(
            lambda: transformers_serve().running(), "float32", aims={(16, "auto"): "≥ 2"}, waves=2
        ),
        "engine": Peer(
            lambda: library(own_engine), computes_in(dtype), aims={(16, "auto"): "≥ 0.9"}, waves=2
        ),
        "engine_float32": Peer(
            lambda: library("our engine in float32"),
            computes_in("float32"),
            aims={(16, "auto"): "≥ 1.6", (16, "dynamic-int8"): "≥ 2"},
            waves=2,
        ),
        "float32": Peer(
            lambda: transformers_serve().running(),
            "float32",
            CHAT_FLOAT32,
            aims={(16, "auto"): "≥ 1.2"},
            waves=2,
        ),
        "generate": Peer(
            lambda: library("model.generate"), "float32", CHAT_FLOAT32, aims={(16, "auto"): "≥ 1"}
        ),
        "llama_server": Peer(
            lambda: llama_server(clients).running(),
            "Q4_1",
            aims={
                (16, "auto"): "≥ 2",
                (1, "auto"): "≥ 1",
                (16, "dynamic-int8"): "≥ 2.5",
                (1, "dynamic-int8"): "≥ 1.1",
            },
            waves=2,
        ),
        "llama_cpp": Peer(lambda: llama_cpp().running(), "Q4_1"),
        "plain": Peer(lambda: plain_serve("chat").running(), "float32"),
    }


def computes_in(dtype: str) -> str:
    """What our engine on OpenVINO computes in, given a profile's ``dtype``."""
    return f"Q4_1, {dtype_of(CHAT) if dtype == 'auto' else dtype}"


class CollectedFigures(list[LoadFigures]):
    """The figures of all rounds of one side."""

    def median_of(self, figure: Callable[[LoadFigures], float]) -> str:
        """The median of one figure over the rounds; a dash where nothing has it."""
        values = [value for each in self if not math.isnan(value := figure(each))]
        return f"{median(values):.0f}" if values else "–"


def compared(service: Server, peer: Peer, rounds: int, load: Load, dtype: str) -> list[str]:
    """The row of one peer. Each peer gets a seed of its own in ``load``, so that the service does
    not find earlier prompts in its prefix cache."""
    load = replace(load, requests=peer.waves * load.requests)
    asked = replace(load, model=peer.model)
    ours_in = computes_in(dtype) if peer.model == CHAT else "float32"
    with peer.start() as started:
        tell(f"{service.name} ({ours_in}) against {started.name} ({peer.arithmetic})")
        collected = (CollectedFigures(), CollectedFigures())
        run_loads(service, asked.warm_up(WARM_UP))
        mine = http_side(service, asked, tokens_per_s, arithmetic=ours_in, collected=collected[0])
        theirs = side_of(started, load, peer.arithmetic, collected[1])
        pair = alternated(mine, theirs, rounds=min(rounds, peer.max_rounds), said=tell)
    return row(pair, collected, peer.aims.get((load.clients, dtype), ""))


def side_of(
    peer: Server | Library, load: Load, arithmetic: str, collected: CollectedFigures
) -> Side:
    """The peer as a side, warmed up."""
    if isinstance(peer, Server):
        run_loads(peer, load.warm_up(WARM_UP))
        return http_side(peer, load, tokens_per_s, arithmetic=arithmetic, collected=collected)
    peer.run(load.warm_up(WARM_UP))
    return library_side(peer, load, tokens_per_s, arithmetic=arithmetic, collected=collected)


def row(pair: Pair, collected: tuple[CollectedFigures, CollectedFigures], aim: str) -> list[str]:
    first = [each.median_of(lambda figures: figures.first.p50 * 1000) for each in collected]
    length = [
        each.median_of(lambda figures: figures.units / figures.succeeded) for each in collected
    ]
    return [
        *(pair.theirs.name, pair.ours.arithmetic, pair.theirs.arithmetic),
        *(f"{each.median:.1f}" for each in (pair.ours, pair.theirs)),
        *(f"**{pair.ratio:.2f}**", f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}", aim),
        *(" / ".join(first), " / ".join(length)),
    ]


def tokens_per_s(figures: LoadFigures) -> float:
    return figures.units_per_s


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chat", description=__doc__)
    parser.add_argument("--rounds", type=int, choices=range(1, 10), default=3)
    parser.add_argument("--clients", type=int, choices=range(1, 65), default=LOAD.clients)
    parser.add_argument("--dtype", choices=("auto", *ENGINE_DTYPES), default="auto")
    names = list(peers(1, "auto"))
    parser.add_argument("--peers", nargs="+", choices=names, default=names)
    given = parser.parse_args()
    known = peers(given.clients, given.dtype)
    load = replace(LOAD, clients=given.clients, requests=max(LOAD.requests, given.clients))
    end_on_sigterm()
    rows: list[list[str]] = []
    notes: list[str] = []
    began = time.monotonic()
    with watched() as neighbours, interruptible(notes), ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-ours-")))
        service = stack.enter_context(
            ours(["generation"], place, computes_in(given.dtype), dtype=given.dtype).running()
        )
        for number, name in enumerate(given.peers):
            if time.monotonic() - began > BEGIN_LIMIT_S:
                notes.append(
                    f"Not measured: {name}, for lack of time; measure it alone with --peers {name}"
                )
                continue
            with noting_failures(notes):
                seeded = replace(load, seed=number * SEEDS_APART)
                rows.append(compared(service, known[name], given.rounds, seeded, given.dtype))
    print(f"{machine()}. {neighbours}\n")
    titles = ["peer", "ours in", "peer in", "ours, tokens/s", "peer, tokens/s", "ratio", "spread",
              "aim", "first token p50, ms, ours / peer", "tokens an answer"]  # fmt: skip
    print(table(titles, rows))
    print(*(f"\n{note}" for note in notes), sep="\n")


if __name__ == "__main__":
    main()
