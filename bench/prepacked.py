# ruff: noqa: T201 - a command that prints a table
"""Linear layers with packed weights against torch's own: ``python -m bench.prepacked``.

One process computes the forward of the embedded chat model in float32 for one token of each row,
without a cache, once as transformers loads it and once packed. Takes half a minute and both cores.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from bench.neighbours import watched
from bench.pairs import Side, alternated, machine, table
from bench.peers.weights import CHAT_FLOAT32, folder_of
from configs.processor import usable_cores
from deployments.engine.prepacked_linear import prepack

ROWS = (1, 4, 16, 64, 512)
ROUNDS = 5
MEASURE_S = 0.5


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
