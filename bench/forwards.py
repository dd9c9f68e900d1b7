# ruff: noqa: T201 - a command that prints tables
"""One forward of an encoder at a time against two of half the threads: `python -m bench.forwards`.

Both graphs run at the same time and are asked in turn, with the loads of `bench.embeddings`. Takes
some two minutes and both cores.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.embeddings import LINES, against
from bench.neighbours import watched
from bench.pairs import Pair, machine, table
from bench.peers.running import Server, end_on_sigterm
from bench.peers.servers import ours

CLIENTS = LINES[:3]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.forwards", description=__doc__)
    parser.add_argument("--rounds", type=int, choices=range(1, 10), default=3)
    rounds: int = parser.parse_args().rounds
    end_on_sigterm()
    with watched() as neighbours, ExitStack() as stack:
        one, two = (started(stack, number) for number in (1, 2))
        pairs = [against(two, one, line, rounds) for line in CLIENTS]
    print(f"{machine()}. {neighbours}\n")
    rows = [row(line.what, line.unit, pair) for line, pair in zip(CLIENTS, pairs, strict=True)]
    print(table(["load", "figure", "forwards: 2", "forwards: 1", "ratio", "spread"], rows))


def started(stack: ExitStack, forwards: int) -> Server:
    """This service with its embeddings, until ``stack`` ends it."""
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-ours-")))
    server = ours(["embeddings"], place, "float32", forwards)
    return stack.enter_context(replace(server, name=f"forwards: {forwards}").running())


def row(what: str, unit: str, pair: Pair) -> list[str]:
    medians = [f"{each.median:.1f}" for each in (pair.ours, pair.theirs)]
    spread = f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}"
    return [what, unit, *medians, f"**{pair.ratio:.2f}**", spread]


if __name__ == "__main__":
    main()
