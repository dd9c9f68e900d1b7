# ruff: noqa: T201 - a command that prints a table
"""Linear layers with packed weights against torch's own: ``python -m bench.prepacked``.

One process computes the forward of the embedded chat model in float32 for one token of each row,
without a cache, once as transformers loads it and once packed. Then the layers of one block get
inputs of 1 to 400 rows in random order, filled up as they are and exact. Takes a minute and both
cores.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM

from bench.neighbours import watched
from bench.pairs import Side, alternated, machine, table
from bench.peers.weights import CHAT_FLOAT32, folder_of
from configs.processor import usable_cores
from deployments.engine.prepacked_linear import PrepackedLinear, prepack

ROWS = (1, 4, 16, 64, 512)
ROUNDS = 5
MEASURE_S = 0.5
LENGTHS = 400


def main() -> None:
    torch.set_num_threads(usable_cores())
    plain, packed = _model(), _model()
    layers = prepack(packed)
    rows = []
    with watched() as neighbours:
        for number in ROWS:
            ours, theirs = (
                Side("packed", "float32", _forward(packed, number)),
                Side("torch", "float32", _forward(plain, number)),
            )
            pair = alternated(ours, theirs, rounds=ROUNDS)
            medians = [f"{1e3 / each.median:.1f}" for each in (pair.ours, pair.theirs)]
            spread = f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}"
            rows.append([str(number), *medians, f"**{pair.ratio:.2f}**", spread])
    print(f"{machine()}. {neighbours} {layers} layers are packed.\n")
    print(table(["rows", "packed, ms", "torch's own, ms", "speed, packed / own", "spread"], rows))
    print()
    print(table(LENGTH_TITLES, [_every_length(packed)]))


LENGTH_TITLES = ["filled up, s", "MiB", "exact, s", "MiB", "speed, filled / exact", "spread"]


@torch.inference_mode()
def _every_length(packed: Any) -> list[str]:
    """A row for inputs of all lengths, each once a round, with what they added to the memory."""
    layers = [
        each for each in packed.model.layers[0].modules() if isinstance(each, PrepackedLinear)
    ]
    grown = {"filled": 0.0, "exact": 0.0}

    def measured(name: str, call: Callable[[PrepackedLinear, torch.Tensor], Any]) -> Side:
        inputs = {each.in_features: torch.randn(LENGTHS, each.in_features) for each in layers}

        def measure() -> float:
            lengths = random.sample(range(1, LENGTHS + 1), LENGTHS)
            before, began = psutil.Process().memory_info().rss, time.perf_counter()
            for rows in lengths:
                for layer in layers:
                    call(layer, inputs[layer.in_features][:rows])
            took = time.perf_counter() - began
            grown[name] += (psutil.Process().memory_info().rss - before) / 2**20
            return 1 / took

        return Side(name, "float32", measure)

    pair = alternated(
        measured("filled", PrepackedLinear.forward),
        measured("exact", PrepackedLinear.multiplied),
        rounds=ROUNDS,
    )
    return [
        f"{1 / pair.ours.median:.2f}",
        f"{grown['filled']:.0f}",
        f"{1 / pair.theirs.median:.2f}",
        f"{grown['exact']:.0f}",
        f"**{pair.ratio:.2f}**",
        f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}",
    ]


def _model() -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(folder_of(CHAT_FLOAT32), dtype=torch.float32)
    return model.eval()


def _forward(model: Any, rows: int) -> Any:
    """Measures forwards a second."""
    tokens = torch.arange(rows).unsqueeze(-1) % 97

    @torch.inference_mode()
    def measure() -> float:
        model(tokens, use_cache=False)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < MEASURE_S:
            model(tokens, use_cache=False)
            count += 1
        return count / (time.perf_counter() - began)

    return measure


if __name__ == "__main__":
    main()
