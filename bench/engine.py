# ruff: noqa: T201 - a command that prints tables
"""The torch engine in its process, without Serve and HTTP: ``python -m bench.engine``.

It decodes the embedded chat model in float32, on all cores, and is compared with
``model.generate`` of transformers and with itself. Each row alternates two sides and prints ours /
theirs; the column ``aim`` says which way is better. Takes both cores and about ten minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

import click

from bench.engine_requests import EngineRequests, Written, prompt_of, shared_beginning
from bench.neighbours import watched
from bench.pairs import Pair, Side, alternated, machine, table, tell
from bench.peers.static_batch import StaticBatch
from bench.peers.weights import CHAT_FLOAT32, folder_of
from configs.processor import usable_cores
from deployments.engine.factory import open_engine
from deployments.engine.settings import EngineSettings
from deployments.seam.generation import Grammar

CLIENTS = 16
NEW_TOKENS = 48
SCHEMA = Grammar(
    "json_schema",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "title": {"type": "string", "maxLength": 60},
                "pages": {"type": "integer"},
                "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
            },
            "required": ["title", "pages", "tags"],
            "additionalProperties": False,
        }
    ),
)


class Comparisons:
    """The rows of the table. ``seed`` changes with every measurement, so that no prompt is found in
    the prefix cache by accident."""

    def __init__(self, engine: EngineRequests, static: StaticBatch) -> None:
        self._engine = engine
        self._static = static
        self._seed = 0

    def rows(self) -> list[tuple[str, str, Callable[[], Side], Callable[[], Side]]]:
        return [
            ("tokens/s, 8 clients / 1", "≥ 3", lambda: self._short(8), lambda: self._short(1)),
            ("tokens/s, 16 prompts of 4 to 160 words / a static batch", "≥ 1", self._mixed,
             self._mixed_static),
            ("tokens/s, arriving every 50 ms, 8 to 128 tokens / a static batch", "≥ 1.5",
             self._arriving, self._arriving_static),
            ("s to the first token, second turn of 1,000 tokens / first", "≤ 0.1",
             lambda: self._turn(1), lambda: self._turn(0)),
            ("p99 gap of 8 streams, beside a prompt of 1,000 tokens / alone", "≤ 3",
             lambda: self._gaps(long=True), lambda: self._gaps(long=False)),
            ("median gap of 8 plain streams, beside 16 with a schema / 16 plain", "≤ 1.3",
             lambda: self._plain_beside(SCHEMA), lambda: self._plain_beside(None)),
            ("s to the first token, with a schema / plain", "≤ 2",
             lambda: self._first_token(SCHEMA), lambda: self._first_token(None)),
        ]  # fmt: skip

    def _next_seed(self) -> int:
        self._seed += 1000
        return self._seed

    def _short(self, clients: int) -> Side:
        def measure() -> float:
            seed = self._next_seed()
            prompts = [prompt_of(8, seed + number) for number in range(clients)]
            return self._engine.rate(prompts, [32] * clients)

        return Side(f"{clients} clients", "float32", measure)

    def _mixed_prompts(self) -> list[list[int]]:
        seed = self._next_seed()
        words = (4, 8, 16, 32, 48, 64, 96, 160)
        texts = [prompt_of(words[i % len(words)], seed + i) for i in range(CLIENTS)]
        return [self._engine.encode(text) for text in texts]

    def _mixed(self) -> Side:
        return Side(
            "our engine",
            "float32",
            lambda: self._engine.rate(self._mixed_prompts(), [NEW_TOKENS] * CLIENTS),
        )

    def _mixed_static(self) -> Side:
        return Side(
            "model.generate",
            "float32",
            lambda: self._static.rate(self._mixed_prompts(), [NEW_TOKENS] * CLIENTS),
        )

    def _arriving(self) -> Side:
        lengths = [8 + 120 * number // (CLIENTS - 1) for number in range(CLIENTS)]
        return Side(
            "our engine",
            "float32",
            lambda: self._engine.rate(self._mixed_prompts(), lengths, apart_s=0.05),
        )

    def _arriving_static(self) -> Side:
        """All wait for the last one to arrive, and then for the longest."""
        lengths = [8 + 120 * number // (CLIENTS - 1) for number in range(CLIENTS)]
        return Side(
            "model.generate",
            "float32",
            lambda: self._static.rate(self._mixed_prompts(), lengths, apart_s=0.05),
        )

    def _turn(self, number: int) -> Side:
        def measure() -> float:
            turns = shared_beginning(self._engine.encode, self._next_seed())
            seconds = [self._engine.first_token(turn) for turn in turns]
            return seconds[number]

        return Side(f"turn {number + 1}", "float32", measure)

    def _gaps(self, *, long: bool) -> Side:
        def measure() -> float:
            seed = self._next_seed()
            streams = self._engine.start([prompt_of(8, seed + n) for n in range(8)], [64] * 8)
            self._engine.wait_for_token(streams, 8)
            if long:
                (reader,) = self._engine.start([prompt_of(800, seed + 100)], [1])
                self._engine.finish([reader])
            return _p99(self._engine.finish(streams))

        return Side("beside a long prompt" if long else "alone", "float32", measure)

    def _plain_beside(self, grammar: Grammar | None) -> Side:
        def measure() -> float:
            seed = self._next_seed()
            prompts = [prompt_of(8, seed + number) for number in range(24)]
            others = self._engine.start(prompts[8:], [NEW_TOKENS] * 16, grammar=grammar)
            plain = self._engine.start(prompts[:8], [NEW_TOKENS] * 8)
            written = self._engine.finish(plain)
            self._engine.finish(others)
            return median(gap for each in written for gap in each.gaps)

        return Side("with a schema" if grammar else "plain", "float32", measure)

    def _first_token(self, grammar: Grammar | None) -> Side:
        def measure() -> float:
            prompt = self._engine.encode(prompt_of(8, self._next_seed()))
            return self._engine.first_token(prompt, grammar=grammar)

        return Side("with a schema" if grammar else "plain", "float32", measure)


def _p99(written: list[Written]) -> float:
    gaps = sorted(gap for each in written for gap in each.gaps)
    return gaps[min(len(gaps) - 1, int(len(gaps) * 0.99))]


def row(name: str, aim: str, pair: Pair) -> list[str]:
    return [
        name,
        f"{pair.ours.median:.4g}",
        f"{pair.theirs.median:.4g}",
        f"**{pair.ratio:.2f}**",
        f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}",
        aim,
    ]


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 9))
@click.option("--only", default="", help="Rows whose name has this text.")
def main(rounds: int, only: str) -> None:
    """Compare the torch engine with model.generate and with itself."""
    folder = folder_of(CHAT_FLOAT32)
    rows = []
    with watched() as neighbours, ExitStack() as stack:
        settings = EngineSettings(
            slots=24,
            threads=usable_cores(),
            window=2048,
            device="cpu",
            dtype="float32",
            own_process=True,
        )
        engine = open_engine("torch", folder, settings)
        stack.callback(engine.close)
        comparisons = Comparisons(EngineRequests(engine), StaticBatch(folder))
        for name, aim, ours, theirs in comparisons.rows():
            if only in name:
                tell(name)
                rows.append(row(name, aim, alternated(ours(), theirs(), rounds=rounds, said=tell)))
    print(f"{machine()}. {neighbours}\n")
    print(table(["comparison", "ours", "other", "ratio", "spread", "aim"], rows))


if __name__ == "__main__":
    main()
