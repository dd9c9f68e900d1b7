"""What the rest of a graph takes from text generation on the same cores.

    python -m bench.background [--rounds 4] [--dtype float32]

Clients of a graph with text generation only are measured in turn as it is, and while those of its
processes that no request passes through (the controller, the GCS, the ledger, proxies, Ray's
dashboard and its agents) are stopped with SIGSTOP. They compute little, but OpenVINO's threads wait
for each other after every matrix product: what interrupts one of them stops all. The ratio is as it
is / stopped; 1 means that they cost nothing. It takes both cores and about five minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import psutil

from bench.load_sides import run_loads
from bench.neighbours import watched
from bench.pairs import Side, alternated, machine, table, tell
from bench.parts_watch import part_of
from bench.peers.running import Server, end_on_sigterm
from bench.peers.servers import ours
from serve_app.launcher import processes, runs
from serve_app.load.figures import LoadFigures
from serve_app.load.load import Load

SETTLING_S = 10.0
WARM_UP = 2
LOADS = (
    Load("chat", clients=1, requests=3, texts="mixed", new_tokens=200),
    Load("chat", clients=16, requests=48, texts="mixed", new_tokens=48),
)
"""Every round sends the same prompts, most of which the prefix cache holds: what is compared is
decoding. A measurement ends long before a stopped part is missed."""

PASSED_THROUGH = {"Generation", "Ingress", "OpenVINO engine", "HAProxy", "raylet"}
"""The parts of the graph that stay: a request's way, and Ray's guard of the processes."""


def background() -> list[psutil.Process]:
    """The processes of the newest graph on this machine that no request passes through."""
    run = runs.live(runs.base_directory())[0]
    found = []
    for process in processes.marked(run.id):
        with contextlib.suppress(psutil.NoSuchProcess):
            if part_of(" ".join(process.cmdline())) not in PASSED_THROUGH:
                found.append(process)
    return found


@contextlib.contextmanager
def stopped(found: list[psutil.Process]) -> Iterator[None]:
    """Let ``found`` stand still within."""
    try:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def as_it_is(server: Server, load: Load, collected: list[LoadFigures]) -> float:
    """Tokens a second."""
    collected += run_loads(server, load)
    return collected[-1].units_per_s


def row(server: Server, load: Load, rounds: int) -> list[str]:
    """The comparison of one load."""
    found, plain, quiet = background(), list[LoadFigures](), list[LoadFigures]()

    def without() -> float:
        with stopped(found):
            return as_it_is(server, load, quiet)

    pair = alternated(
        Side("as it is", "", lambda: as_it_is(server, load, plain)),
        Side(f"without {len(found)} processes", "", without),
        rounds=rounds,
        said=tell,
    )
    gaps = [sorted(each.per_token.p50 for each in side)[len(side) // 2] for side in (plain, quiet)]
    low, high = min(pair.ratios), max(pair.ratios)
    return [
        f"{load.clients}",
        *(f"{side.median:.1f}" for side in (pair.ours, pair.theirs)),
        *(f"{gap * 1e3:.1f}" for gap in gaps),
        f"**{pair.ratio:.2f}** ({low:.2f}–{high:.2f})",
    ]


TITLES = [
    *("clients", "tokens/s as it is", "tokens/s without", "gap as it is, ms", "gap without, ms"),
    "ratio",
]


@click.command()
@click.option("--rounds", default=4, show_default=True, type=click.IntRange(1, 20))
@click.option("--dtype", default="float32", show_default=True, help="The model's, as in a profile.")
def main(rounds: int, dtype: str) -> None:
    """Tokens a second as the graph is, and without the processes that no request passes through."""
    end_on_sigterm()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with (
        watched() as neighbours,
        tempfile.TemporaryDirectory(prefix="bench-background-") as place,
        ours(["generation"], Path(place), dtype, dtype=dtype).running() as server,
    ):
        time.sleep(SETTLING_S)
        for load in LOADS * WARM_UP:
            run_loads(server, load)
        rows = [row(server, load, rounds) for load in LOADS]
    click.echo(f"{machine()}, {dtype}. {neighbours}\n")
    click.echo(table(TITLES, rows))


if __name__ == "__main__":
    main()
