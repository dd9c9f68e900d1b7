"""The sides of ``bench.gpu``: the torch engine in several forms, and transformers' decoding."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence as Listed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from transformers import GenerationConfig

from deployments.engine.codec import TextCodec
from deployments.engine.dense_kv_cache import DenseKvCache
from deployments.engine.interface import Engine
from deployments.engine.packed_model import PackedModel
from deployments.engine.sequence import Sequence
from deployments.engine.settings import EngineSettings
from deployments.engine.torch_engine import engine_of
from deployments.seam.generation import Sampling, Token
from deployments.seam.problems import Problem

Ids: TypeAlias = list[int]

Form: TypeAlias = Literal["default", "without graphs", "dense cache"]
"""``default`` is what the service does on this device."""

TEXT_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """``slots`` sequences of ``window`` tokens; the KV cache has the default size or ``gb`` GiB."""

    slots: int
    window: int
    gb: float | None = None


@contextmanager
def opened(
    model: Any, codec: TextCodec, bounds: Bounds, form: Form = "default"
) -> Iterator[tuple[Engine, PackedModel]]:
    """An engine on ``model``, which gets its own attention back in the end."""
    own = model.config._attn_implementation
    kinds = [DenseKvCache] if form == "dense cache" else []
    packed = PackedModel.of(model, bounds.window, bounds.slots, bounds.gb, kinds=kinds)
    if form == "without graphs":
        packed.graphs = None
    settings = EngineSettings(slots=bounds.slots)
    engine = engine_of(model, codec, bounds.window, settings, packed=packed)
    engine.start()
    try:
        yield engine, packed
    finally:
        engine.close()
        model.set_attn_implementation(own)


class _Text:
    """One greedy text of an exact length."""

    def __init__(self, engine: Engine, prompt: Ids, new: int, name: str) -> None:
        self.ids: Ids = []
        self.problem: Problem | None = None
        self.over = threading.Event()
        self.sequence = Sequence(
            codec=engine.codec,
            prompt_ids=prompt,
            sampling=Sampling(temperature=0.0),
            max_new_tokens=new,
            eos_ids=frozenset(),
            request_id=name,
            on_token=self._take,
            on_failure=self._fail,
        )

    def _take(self, token: Token) -> None:
        self.ids.append(token.token_id)
        if token.finish_reason is not None:
            self.over.set()

    def _fail(self, problem: Problem) -> None:
        self.problem = problem
        self.over.set()


def written(engine: Engine, prompts: Listed[Ids], new: int) -> list[Ids]:
    """The texts of clients that ask all at once. Raises ``RuntimeError`` if one fails."""
    texts = [_Text(engine, each, new, str(number)) for number, each in enumerate(prompts)]
    for each in texts:
        engine.submit(each.sequence)
    for each in texts:
        if not each.over.wait(TEXT_TIMEOUT_S) or each.problem is not None:
            raise RuntimeError(f"a text failed: {each.problem or 'it never ended'}")
    return [each.ids for each in texts]


def engine_rate(engine: Engine, prompts: Listed[Ids], new: int) -> float:
    """Tokens a second."""
    began = time.perf_counter()
    written(engine, prompts, new)
    return len(prompts) * new / (time.perf_counter() - began)


@torch.inference_mode()
def static_rate(model: Any, prompts: Listed[Ids], new: int) -> float:
    """Tokens a second of ``model.generate`` over one static batch."""
    longest = max(map(len, prompts))
    pad = [[0] * (longest - len(each)) for each in prompts]
    rows = [[*left, *each] for left, each in zip(pad, prompts, strict=True)]
    seen = [[0] * len(left) + [1] * len(each) for left, each in zip(pad, prompts, strict=True)]
    ids, mask = (torch.tensor(each, device=model.device) for each in (rows, seen))
    options = {"do_sample": False, "max_new_tokens": new, "min_new_tokens": new, "pad_token_id": 0}
    began = time.perf_counter()
    model.generate(ids, attention_mask=mask, **options).tolist()
    return len(prompts) * new / (time.perf_counter() - began)


def continuous_rate(model: Any, prompts: Listed[Ids], new: int) -> float | None:
    """Tokens a second of transformers' continuous batching; ``None`` where it cannot."""
    own = model.config._attn_implementation
    # Its end of sequence is a token that no vocabulary has: all texts have their full length.
    make: Any = GenerationConfig  # untyped
    config = make(do_sample=False, max_new_tokens=new, eos_token_id=-1, pad_token_id=0)
    try:
        model.generate_batch([prompts[0]], generation_config=config)  # captures its graphs
        began = time.perf_counter()
        found = model.generate_batch(list(prompts), generation_config=config)
        seconds = time.perf_counter() - began
    except (AttributeError, ImportError, RuntimeError, TypeError, ValueError) as error:
        print(f"transformers' continuous batching: {type(error).__name__}: {error}")  # noqa: T201
        return None
    finally:
        model.set_attn_implementation(own)
    tokens = sum(len(each.generated_tokens) for each in found.values())
    return tokens / seconds if tokens else None
