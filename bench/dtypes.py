# ruff: noqa: T201 - a command that prints a table
"""Text generation on OpenVINO in each dtype, in-process: tokens a second against float32.

    python -m bench.dtypes [--rounds 3] [--dtypes bfloat16 dynamic-int8]

16 clients send chats of mixed lengths for 48 new tokens to the engine itself, without Serve and
HTTP. The ratio is that dtype / float32: above 1 it is faster. Both sides are loaded at the same
time, each in a process of its own, and measured in turn with the same chats. Whether texts change
with their neighbours is not measured here; ``prsm-serve models --pull`` does that for ``auto``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from bench.chat import LOAD, WARM_UP, tokens_per_s
from bench.load_sides import library_side
from bench.neighbours import watched
from bench.pairs import alternated, machine, table, tell
from bench.peers.inprocess import library
from bench.peers.running import end_on_sigterm
from configs.processor import native_bfloat16

DTYPES = ("bfloat16", "dynamic-int8")
AIMS = {"bfloat16": "≥ 1.6", "dynamic-int8": "≥ 2"}
"""The ratios that we aim at on processors with AVX-512 or AMX."""


def compared(dtype: str, rounds: int) -> list[str]:
    """The row of one dtype."""
    with library(f"our engine in {dtype}") as ours, library("our engine in float32") as exact:
        for each in (ours, exact):
            each.run(LOAD.warm_up(WARM_UP))
        load = replace(LOAD, requests=LOAD.clients)
        sides = [
            library_side(each, load, tokens_per_s, arithmetic=arithmetic)
            for each, arithmetic in ((ours, dtype), (exact, "float32"))
        ]
        pair = alternated(*sides, rounds=rounds, said=tell)
    rates = [f"{figures.median:.1f}" for figures in (pair.ours, pair.theirs)]
    spread = f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}"
    return [dtype, *rates, f"**{pair.ratio:.2f}**", spread, AIMS[dtype]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.dtypes", description=__doc__)
    parser.add_argument("--rounds", type=int, choices=range(1, 10), default=3)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    given = parser.parse_args()
    end_on_sigterm()
    able = [each for each in given.dtypes if each != "bfloat16" or native_bfloat16()]
    with watched() as neighbours:
        rows = [compared(dtype, given.rounds) for dtype in able]
    print(f"{machine()}. {neighbours}\n")
    titles = ("dtype", "tokens/s", "float32, tokens/s", "ratio", "spread", "aim")
    print(table(titles, rows))


if __name__ == "__main__":
    main()
