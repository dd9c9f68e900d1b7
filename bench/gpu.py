# ruff: noqa: T201 - a command that prints tables
"""The torch engine on a GPU, in one command: ``python -m bench.gpu``.

Needs torch, transformers, tokenizers, jinja2 and numpy: no Serve, no OpenVINO, no weights and no
network. For models with random weights, from 135M to 8B as memory allows, it checks texts (every
greedy token against the model's own logits; paged and dense cache, with and without graphs, with
preemption) and memory, then prints tokens/s beside ``model.generate`` and transformers' continuous
batching. Ends with 1 if a check fails. ``--device cpu --models tiny`` tries it without a GPU.
"""

from __future__ import annotations

import argparse
import gc
import random
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Listed
from statistics import median
from typing import Any

import torch
import transformers

from bench.gpu_models import SIZES, byte_codec, random_model
from bench.gpu_sides import (
    Bounds,
    Form,
    Ids,
    continuous_rate,
    engine_rate,
    opened,
    static_rate,
    written,
)
from deployments.engine.paged_kv_cache import PAGE_TOKENS

GIB = 2**30
MAX_LOGIT_GAP = {torch.float32: 1e-3}
MAX_HALF_LOGIT_GAP = 0.25
"""How far a token's logit may be below the best one, in standard deviations of all logits."""

FORMS: tuple[Form, ...] = ("default", "without graphs", "dense cache")


def main(arguments: Listed[str] | None = None) -> int:
    options = _options(arguments)
    device = torch.device(options.device)
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    print(f"{_name(device)}, torch {torch.__version__}, transformers {transformers.__version__}")
    failed = 0
    for name in options.models.split(","):
        if _too_large(name, device, dtype):
            print(f"\n{name}: left out, the GPU's memory is too small")
            continue
        model = random_model(name, options.window, device, dtype)
        bench = Bench(model, dtype, options.window, options.new)
        print(f"\n{name}, {options.dtype or dtype}")
        for text, passed in bench.checks():
            print(f"  {'ok    ' if passed else 'FAILED'} {text}")
            failed += not passed
        bench.table(
            [int(each) for each in options.clients.split(",")],
            options.rounds,
            continuous=not options.no_continuous,
        )
        del model, bench
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return 1 if failed else 0


class Bench:
    """The checks and the table of one model, with texts of ``new`` tokens."""

    def __init__(self, model: Any, dtype: torch.dtype, window: int, new: int) -> None:
        self._model = model
        self._window = window
        self._new = new
        self._max_gap = MAX_LOGIT_GAP.get(dtype, MAX_HALF_LOGIT_GAP)
        self._codec = byte_codec(model.config.vocab_size)
        self._source = random.Random(1)

    def checks(self) -> Iterator[tuple[str, bool]]:
        """What was checked, and whether it is so."""
        prompts = self._prompts(12)
        for form in FORMS:
            with opened(self._model, self._codec, Bounds(8, self._window), form) as (engine, made):
                texts = written(engine, prompts, self._new)
                kind = type(made.cache).__name__
                graphs = "with" if made.graphs else "without"
            yield self._greedy(f"{form} ({kind}, {graphs} graphs)", prompts, texts)
        yield from self._preempted(prompts)

    def _preempted(self, prompts: list[Ids]) -> Iterator[tuple[str, bool]]:
        """The same in a KV cache that holds about three of the texts, which is as configured."""
        with opened(self._model, self._codec, Bounds(8, self._window)) as (_, made):
            token_bytes = made.cache.nbytes / (made.cache.blocks * made.cache.block_tokens)
        length = max(map(len, prompts)) + self._new
        size = made.cache.block_tokens
        gb = 3 * -(-length // size) * size * token_bytes / GIB
        del made
        gc.collect()
        before = _allocated(self._model.device)
        with opened(self._model, self._codec, Bounds(8, self._window, gb)) as (engine, made):
            texts = written(engine, prompts, self._new)
            taken = made.cache.nbytes
            allocated = _allocated(self._model.device) - before
        usage = engine.load().kv_usage
        yield self._greedy("preempted", prompts, texts)
        yield f"preempted: {usage:.0%} of the KV cache is used in the end", usage == 0.0
        page = size * token_bytes
        yield (
            f"KV cache: {gb:.3f} GiB configured, {taken / GIB:.3f} taken, "
            f"{allocated / GIB:.3f} allocated with graphs and activations",
            taken <= gb * GIB + 1.05 * page,  # one page is for padding
        )

    def _greedy(self, name: str, prompts: list[Ids], texts: list[Ids]) -> tuple[str, bool]:
        gap = max(map(self._logit_gap, prompts, texts))
        return f"{name}: chosen tokens are at most {gap:.2g} sd below the best", gap < self._max_gap

    @torch.inference_mode()
    def _logit_gap(self, prompt: Ids, text: Ids) -> float:
        """By how much the worst token of a text is below the model's own best, in sd of logits."""
        ids = torch.tensor([[*prompt, *text[:-1]]], device=self._model.device)
        logits = self._model(input_ids=ids, logits_to_keep=len(text)).logits[0].float()
        chosen = logits.gather(1, torch.tensor(text, device=logits.device)[:, None])[:, 0]
        return float(((logits.amax(-1) - chosen) / logits.std(-1)).max())

    def table(self, clients: list[int], rounds: int, *, continuous: bool) -> None:
        """Print tokens/s: the medians of ``rounds``, after a first round that does not count."""
        print(f"  {'clients':>8}{'engine':>12}{'generate':>12}{'ratio':>8}{'continuous':>12}")
        for count in clients:
            prompts = self._prompts(count)
            bounds = Bounds(count, self._window, self._kv_gb(count))
            with opened(self._model, self._codec, bounds) as (engine, _):
                ours = self._median(rounds, engine_rate, engine, count)
            static = self._median(rounds, static_rate, self._model, count)
            other = continuous_rate(self._model, prompts, self._new) if continuous else None
            shown = "–" if other is None else f"{other:.0f}"
            print(f"  {count:>8}{ours:>12.0f}{static:>12.0f}{ours / static:>8.2f}{shown:>12}")

    def _kv_gb(self, texts: int) -> float:
        """GiB of KV cache for so many texts of the whole window, in pages."""
        config, size = self._model.config, PAGE_TOKENS
        values = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        tokens = texts * -(-self._window // size) * size
        return float(tokens * values * self._model.dtype.itemsize / GIB)

    def _median(
        self, rounds: int, rate: Callable[[Any, Listed[Ids], int], float], side: Any, count: int
    ) -> float:
        rates = [rate(side, self._prompts(count), self._new) for _ in range(rounds + 1)]
        return median(rates[1:])

    def _prompts(self, count: int) -> list[Ids]:
        """Prompts that no prefix cache has, the first of which fills most of the window."""
        longest = self._window - self._new - 1
        lengths = [longest, *(self._source.randrange(4, longest // 2) for _ in range(count - 1))]
        return [[self._source.randrange(256) for _ in range(length)] for length in lengths]


def _options(arguments: Listed[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", help="bfloat16, on a CPU float32")
    parser.add_argument("--models", default="135M,1B,8B", help=f"some of {', '.join(SIZES)}")
    parser.add_argument("--clients", default="1,8,16,64")
    parser.add_argument("--window", type=int, default=640, help="tokens of the longest text")
    parser.add_argument("--new", type=int, default=128, help="new tokens of a text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-continuous", action="store_true", help="without transformers' own")
    return parser.parse_args(arguments)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def _too_large(name: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether weights, and half as much again for caches and activations, exceed free memory."""
    if device.type != "cuda":
        return False
    model = random_model(name, 8, torch.device("meta"), dtype)
    weights = sum(each.numel() for each in model.parameters())
    free, _ = torch.cuda.mem_get_info(device)
    return bool(weights * dtype.itemsize * 1.5 > free)


if __name__ == "__main__":
    raise SystemExit(main())
