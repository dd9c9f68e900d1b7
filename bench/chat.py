# ruff: noqa: T201 - a command that prints tables
"""Chat over HTTP: this service against other servers, and against libraries without one.

    python -m bench.chat [--rounds 3] [--peers transformers engine]

16 clients with prompts of mixed lengths and 48 new tokens. Starts this service with only text
generation, and beside it one peer at a time; asks both in turn, and prints medians and ratios.
Every side reads the weights of one GGUF file: as they are (Q4_1), or converted to float32. Takes
both cores and about nine minutes: a peer whose turn comes later than that is left out, and said so.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.load_sides import ask, http_side, interruptible, library_side, noted
from bench.neighbours import watched
from bench.pairs import Pair, Side, alternated, machine, table, tell
from bench.peers.inprocess import Library, library
from bench.peers.running import Server, end_on_sigterm
from bench.peers.servers import llama_cpp, ours, plain_serve, transformers_serve
from bench.peers.weights import CHAT, CHAT_FLOAT32
from serve_app.load.figures import LoadFigures
from serve_app.load.load import Load

LOAD = Load("chat", clients=16, requests=16, texts="mixed", new_tokens=48)
WARM_UP = 4
SEEDS_APART = 100
BEGIN_LIMIT_S = 450.0
OURS = {CHAT: "Q4_1", CHAT_FLOAT32: "float32"}


@dataclass(frozen=True)
class Peer:
    """A peer, which of our models it is compared with, and what is aimed at.

    ``waves`` is how often every client asks in one measurement. One is enough for those that take
    their requests in batches or one by one; where requests join running ones it takes more.
    ``most_rounds`` keeps what is slow within the time of the whole.
    """

    start: Callable[[], AbstractContextManager[Server | Library]]
    arithmetic: str
    model: str = CHAT
    aim: str = ""
    waves: int = 1
    most_rounds: int = 9


PEERS = {
    "transformers": Peer(lambda: transformers_serve().running(), "float32", aim="≥ 2", waves=2),
    "engine": Peer(lambda: library("our engine"), "Q4_1", waves=2),
    "generate": Peer(lambda: library("model.generate"), "float32"),
    "llama_cpp": Peer(lambda: llama_cpp().running(), "Q4_1"),
    "plain": Peer(lambda: plain_serve("chat").running(), "float32"),
    # Our torch engine decodes one text at a time: a minute for what the others do in ten seconds.
    "float32": Peer(lambda: transformers_serve().running(), "float32", CHAT_FLOAT32, most_rounds=1),
}


class Heard(list[LoadFigures]):
    """All figures of one side."""

    def middle(self, figure: Callable[[LoadFigures], float]) -> str:
        """The median of one figure over the rounds; empty for a library, which is not asked."""
        values = [value for each in self if not math.isnan(value := figure(each))]
        return f"{median(values):.0f}" if values else "–"


def compared(service: Server, peer: Peer, rounds: int, seed: int) -> list[str]:
    """The row of one peer. ``seed`` begins texts that the service has not been asked before: those
    it has, it finds in its prefix cache."""
    load = replace(LOAD, requests=peer.waves * LOAD.clients, seed=seed)
    asked, arithmetic = replace(load, model=peer.model), OURS[peer.model]
    with peer.start() as started:
        tell(f"{service.name} ({arithmetic}) against {started.name} ({peer.arithmetic})")
        heard = (Heard(), Heard())
        ask(service, asked.warm_up(WARM_UP))
        mine = http_side(service, asked, tokens_per_s, arithmetic=arithmetic, heard=heard[0])
        theirs = side_of(started, load, peer.arithmetic, heard[1])
        pair = alternated(mine, theirs, rounds=min(rounds, peer.most_rounds), said=tell)
    return row(pair, heard, peer.aim)


def side_of(peer: Server | Library, load: Load, arithmetic: str, heard: Heard) -> Side:
    """The peer as a side, warmed up."""
    if isinstance(peer, Server):
        ask(peer, load.warm_up(WARM_UP))
        return http_side(peer, load, tokens_per_s, arithmetic=arithmetic, heard=heard)
    peer.rate(load.warm_up(WARM_UP))
    return library_side(peer, load, arithmetic)


def row(pair: Pair, heard: tuple[Heard, Heard], aim: str) -> list[str]:
    first = [each.middle(lambda figures: figures.first.p50 * 1000) for each in heard]
    length = [each.middle(lambda figures: figures.units / figures.succeeded) for each in heard]
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
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    given = parser.parse_args()
    end_on_sigterm()
    rows: list[list[str]] = []
    notes: list[str] = []
    began = time.monotonic()
    with watched() as neighbours, interruptible(notes), ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-ours-")))
        service = stack.enter_context(ours(["generation"], place, OURS[CHAT]).running())
        for number, name in enumerate(given.peers):
            if time.monotonic() - began > BEGIN_LIMIT_S:
                notes.append(f"Not measured: {name}: it was late; alone it is --peers {name}")
                continue
            with noted(notes):
                rows.append(compared(service, PEERS[name], given.rounds, number * SEEDS_APART))
    print(f"{machine()}. {neighbours}\n")
    titles = ["peer", "ours in", "peer in", "ours, tokens/s", "peer, tokens/s", "ratio", "spread",
              "aim", "first token p50, ms, ours / peer", "tokens an answer"]  # fmt: skip
    print(table(titles, rows))
    print(*(f"\n{note}" for note in notes), sep="\n")


if __name__ == "__main__":
    main()
