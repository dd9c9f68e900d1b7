# ruff: noqa: T201 - a command that prints tables
"""How long threads of OpenMP may look for work before they sleep: ``python -m bench.spin_count``.

The torch engine decodes 16 mixed prompts in a process with ``GOMP_SPINCOUNT`` as it is served,
against one with another count: while nothing else computes, and beside a process that needs a core.
Needs libgomp, the OpenMP of torch's wheels for Linux, and takes about ten minutes on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import click

from bench.engine_requests import EngineRequests, prompt_of
from bench.neighbours import watched
from bench.pairs import Side, alternated, machine, table, tell
from bench.peers.weights import CHAT_FLOAT32, folder_of
from configs.processor import usable_cores
from deployments.engine.factory import open_engine
from deployments.engine.own_process.client import OPENMP
from deployments.engine.settings import EngineSettings

SPIN_COUNT = "GOMP_SPINCOUNT"
LIBGOMPS_OWN = 300_000
"""What libgomp takes where there are no more threads than cores and nothing is set."""
NEW_TOKENS = 32
WORDS = (4, 8, 16, 32, 48, 64, 96, 160)


@contextmanager
def opened(count: int) -> Iterator[EngineRequests]:
    """The engine in a process that has this spin count."""
    settings = EngineSettings(
        slots=16,
        threads=usable_cores(),
        window=2048,
        device="cpu",
        dtype="float32",
        own_process=True,
    )
    with mock.patch.dict(os.environ, {SPIN_COUNT: str(count)}):
        engine = open_engine("torch", folder_of(CHAT_FLOAT32), settings)
    try:
        yield EngineRequests(engine)
    finally:
        engine.close()


@contextmanager
def busy_process() -> Iterator[None]:
    """A process that needs a core for as long as this lasts."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def side(count: int, requests: EngineRequests, seeds: Iterator[int]) -> Side:
    """Tokens/s of 16 clients; every measurement has prompts of its own."""

    def measure() -> float:
        seed = next(seeds)
        prompts = [prompt_of(WORDS[n % len(WORDS)], seed + n) for n in range(16)]
        encoded = [requests.encode(prompt) for prompt in prompts]
        return requests.rate(encoded, [NEW_TOKENS] * len(encoded))

    return Side(f"{count}", "float32", measure)


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 9))
@click.argument("others", nargs=-1, type=click.IntRange(0))
def main(rounds: int, others: tuple[int, ...]) -> None:
    """Compare the spin count of the engine's process with OTHERS (300000, 30000, 5000)."""
    served = int(OPENMP[SPIN_COUNT])
    seeds = iter(range(0, 1_000_000, 1000))
    rows = []
    with watched() as neighbours, opened(served) as ours:
        for count in others or (LIBGOMPS_OWN, 30_000, 5_000):
            with opened(count) as theirs:
                for beside in ("nothing", "a busy process"):
                    with ExitStack() as stack:
                        if beside != "nothing":
                            stack.enter_context(busy_process())
                        tell(f"{served} against {count}, beside {beside}")
                        sides = side(served, ours, seeds), side(count, theirs, seeds)
                        pair = alternated(*sides, rounds=rounds, said=tell)
                    ratio = f"**{pair.ratio:.2f}**"
                    spread = f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}"
                    figures = f"{pair.ours.median:.4g}", f"{pair.theirs.median:.4g}"
                    rows.append([f"{served} / {count}", beside, *figures, ratio, spread])
    print(f"{machine()}. {neighbours}\n")
    print(table(["spin counts", "beside", "tokens/s", "tokens/s", "ratio", "spread"], rows))


if __name__ == "__main__":
    main()
