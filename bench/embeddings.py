# ruff: noqa: T201 - a command that prints tables
"""Vectors over HTTP: this service against infinity and others, on the same weights in float32.

    python -m bench.embeddings [--rounds 3] [--dtype auto]

Starts this service with its embeddings only, beside one peer at a time, and measures both in turn.
The ratio is ours / theirs: above 1 is better for rates, below 1 for milliseconds. Then a single
query beside a bulk load shows how much each slows the other. It takes about six minutes and both
cores. ``--dtype auto`` is the service's default: bfloat16 where the processor multiplies it.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.load_sides import (
    Figure,
    http_side,
    interruptible,
    library_side,
    noting_failures,
    run_loads,
)
from bench.neighbours import watched
from bench.pairs import Pair, alternated, machine, table, tell
from bench.peers.inprocess import library
from bench.peers.running import Server, end_on_sigterm
from bench.peers.servers import infinity, ours, plain_serve
from configs.processor import native_bfloat16
from configs.profile_file import load_profile
from serve_app.load.figures import LoadFigures
from serve_app.load.load import Load

SECONDS = 4.0
LIST = 512
QUERY_PAUSE_S = 0.05

SHORT = Load("embeddings", clients=32, seconds=SECONDS, texts="short")
MIXED = replace(SHORT, texts="mixed")
ONE = replace(SHORT, clients=1)
BULK = Load("embeddings", clients=1, requests=1, texts="mixed", per_request=LIST)
QUERY = replace(ONE, pause_s=QUERY_PAUSE_S)


@dataclass(frozen=True)
class Line:
    """One line of the comparison; ``aim`` is the ratio that we aim at, as text."""

    what: str
    unit: str
    load: Load
    figure: Figure
    aim: str


def requests_per_s(figures: LoadFigures) -> float:
    return figures.requests_per_s


def texts_per_s(figures: LoadFigures) -> float:
    return figures.units_per_s


def milliseconds(figures: LoadFigures) -> float:
    return figures.latency.p50 * 1000


LINES = (
    Line("32 clients, 8 words", "requests/s", SHORT, requests_per_s, "≥ 2"),
    Line("32 clients, mixed lengths", "requests/s", MIXED, requests_per_s, "≥ 3"),
    Line("1 client, 8 words", "ms (p50)", ONE, milliseconds, "≤ 0.6"),
    Line(f"1 request of {LIST} mixed texts", "texts/s", BULK, texts_per_s, ""),
)


def compare(service: Server, rounds: int, rows: list[list[str]], notes: list[str]) -> None:
    """Add a row for each line and peer, and a note for each peer that could not be measured."""
    for peer, lines in ((infinity, LINES), (lambda: plain_serve("embeddings"), LINES[:3])):
        with noting_failures(notes), peer().running() as server:
            for line in lines:
                pair = against(service, server, line, rounds)
                rows.append(row(line, pair, line.aim if server.name == "infinity" else ""))
    with noting_failures(notes), library("sentence-transformers") as in_process:
        line = LINES[-1]
        tell(f"{line.what}: {service.name} against {in_process.name}")
        ours_side = http_side(service, line.load, line.figure)
        theirs = library_side(in_process, line.load, line.figure, arithmetic="float32")
        theirs.measure()  # warms up
        rows.append(row(line, alternated(ours_side, theirs, rounds=rounds, said=tell), "≥ 1.0"))


def against(service: Server, peer: Server, line: Line, rounds: int) -> Pair:
    tell(f"{line.what}: {service.name} against {peer.name}")
    for server in (service, peer):
        run_loads(server, replace(line.load.warm_up(line.load.clients), seconds=2))
    sides = [http_side(server, line.load, line.figure) for server in (service, peer)]
    return alternated(sides[0], sides[1], rounds=rounds, said=tell)


def row(line: Line, pair: Pair, aim: str) -> list[str]:
    values = [f"{each.median:.1f}" for each in (pair.ours, pair.theirs)]
    spread = f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}"
    sides = [pair.theirs.name, pair.ours.arithmetic, pair.theirs.arithmetic]
    return [line.what, line.unit, *sides, *values, f"**{pair.ratio:.2f}**", spread, aim]


@dataclass(frozen=True)
class QueryBesideBulk:
    """A single query and a bulk load, each alone and both together, in one round."""

    query_alone: LoadFigures
    query_beside: LoadFigures
    bulk_alone: LoadFigures
    bulk_beside: LoadFigures


def query_beside_bulk(service: Server, seed: int) -> QueryBesideBulk:
    """Run ``QUERY`` and lists of 512 texts alone, and then at the same time."""
    bulk = replace(BULK, requests=2, seed=seed)
    query = replace(QUERY, seed=seed)
    (query_alone,) = run_loads(service, query)
    (bulk_alone,) = run_loads(service, bulk)
    # Queries must not go on after the bulk has ended, since they would be alone again.
    lasting = replace(query, seconds=0.9 * bulk_alone.seconds)
    bulk_beside, query_beside = run_loads(service, bulk, lasting)
    return QueryBesideBulk(query_alone, query_beside, bulk_alone, bulk_beside)


def fairness(rounds: list[QueryBesideBulk]) -> list[str]:
    """The row of how much a query and a bulk load slow each other: medians of the rounds."""
    alone = median(each.query_alone.latency.p99 for each in rounds) * 1000
    together = median(each.query_beside.latency.p99 for each in rounds) * 1000
    slower = median(each.bulk_alone.units_per_s for each in rounds)
    kept = median(each.bulk_beside.units_per_s / each.bulk_alone.units_per_s for each in rounds)
    usual = median(each.query_beside.latency.p50 for each in rounds) * 1000
    limit = alone + 2 * forward_limit_ms()
    return [f"{alone:.0f}", f"{together:.0f}", f"≤ {limit:.0f}", f"{usual:.0f}",
            f"{slower:.0f}", f"**{kept:.2f}**"]  # fmt: skip


def forward_limit_ms() -> float:
    """The profile's bound on the time of one forward, in milliseconds."""
    family = next(each for each in load_profile("embedded").families if each.name == "embeddings")
    assert family.options.user_config is not None
    return family.options.user_config.max_forward_ms


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.embeddings", description=__doc__)
    parser.add_argument("--rounds", type=int, choices=range(1, 10), default=3)
    parser.add_argument("--dtype", choices=("float32", "auto"), default="float32")
    given = parser.parse_args()
    rounds: int = given.rounds
    dtype: str = given.dtype
    arithmetic = "bfloat16" if dtype == "auto" and native_bfloat16() else "float32"
    end_on_sigterm()
    rows: list[list[str]] = []
    together: list[QueryBesideBulk] = []
    notes: list[str] = []
    with watched() as neighbours, interruptible(notes), ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-ours-")))
        server = ours(["embeddings"], place, arithmetic, dtype=dtype)
        service = stack.enter_context(server.running())
        compare(service, rounds, rows, notes)
        tell("a single query beside lists of 512")
        together += (query_beside_bulk(service, seed) for seed in range(rounds))
    print(f"{machine()}. {neighbours}\n")
    titles = ["load", "figure", "peer", "ours in", "peer in", "ours", "peer", "ratio", "spread",
              "aim"]  # fmt: skip
    print(table(titles, rows))
    print(*(f"\n{note}" for note in notes), sep="\n")
    if not together:
        return
    print(f"\nA single query every {QUERY_PAUSE_S * 1000:.0f} ms beside lists of {LIST} texts:\n")
    titles = ["query p99 alone, ms", "beside", "aim", "p50 beside", "bulk alone, texts/s",
              "share of it kept beside (aim ≥ 0.8)"]  # fmt: skip
    print(table(titles, [fairness(together)]))


if __name__ == "__main__":
    main()
