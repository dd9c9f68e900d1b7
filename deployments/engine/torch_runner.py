"""The torch model runner: transformers' causal language models, on any device torch has."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Listed
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from deployments.engine.codec import TextCodec
from deployments.engine.engine_core import EngineCore
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.kv_cache import KvCacheBudget
from deployments.engine.model_folder import ModelFolder
from deployments.engine.model_runner import RunnerInfo
from deployments.engine.running import RunningBatch
from deployments.engine.sampling import Sampler
from deployments.engine.sequence import Sequence
from deployments.engine.settings import EngineSettings
from deployments.engine.tuning import PREFILL_TOKENS_PER_UNIT
from deployments.models.pretrained import load_pretrained

_DEFAULT_WINDOW = 2048
"""The window of a model whose ``config.json`` has no maximum of positions."""

_MAX_FAILED_FORWARDS = 3
"""Failed forwards in a row, of different sequences, after which the engine is at fault."""


def open_torch_engine(folder: Path | str, settings: EngineSettings) -> EngineCore:
    """Load the model in ``folder`` and start its engine.

    ``settings.threads`` is torch's, for the whole process. Raises ``EngineNotLoaded`` when
    transformers cannot load the folder, ``FileNotFoundError`` when there is none.
    """
    codec = TextCodec.from_folder(folder, settings.chat_template)
    files = ModelFolder.read(folder)
    device = _device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    options = {"dtype": _dtype(settings.dtype, device), **settings.options}
    model = _load(files.path, device, options)
    bounds = [each for each in (settings.window, files.window) if each is not None]
    window = min(bounds, default=_DEFAULT_WINDOW)
    budget = KvCacheBudget.measured(model, window, settings.kv_cache_gb)
    engine = EngineCore(
        codec,
        TorchRunner(model, codec, budget, settings.max_batched_tokens),
        slots=settings.slots,
        window=budget.window,
        hang_after_s=settings.hang_after_s,
    )
    engine.start()
    return engine


class _RunningSequence:
    """A running sequence, its KV cache, and the tokens that are not in the cache."""

    def __init__(self, sequence: Sequence, cache: DynamicCache) -> None:
        self.sequence = sequence
        self.cache = cache
        self.pending = [*sequence.prompt_ids, *sequence.generated]


class TorchRunner:
    """Any ``AutoModelForCausalLM`` with a KV cache; a step is a forward for one sequence.

    Running sequences take turns, each with a KV cache of its own. A preempted sequence loses its
    cache, and is prefilled again when it resumes. Chunked prefill: prompts are prefilled
    ``prefill_chunk`` tokens a step, so that a cancel need not wait for a whole prompt.
    """

    def __init__(
        self, model: Any, codec: TextCodec, budget: KvCacheBudget, prefill_chunk: int
    ) -> None:
        self._model = model
        self._budget = budget
        self._prefill_chunk = prefill_chunk
        self._device: torch.device = model.device
        self._sampler = Sampler(codec, self._device)
        in_thread = self._device.type == "cpu"
        self.info = RunnerInfo(str(self._device), computes_in_thread=in_thread)
        self._bytes = _weight_bytes(model)
        self._running: dict[Sequence, _RunningSequence] = {}
        self._failed_forwards = 0

    def fits(self, sequences: Listed[Sequence]) -> bool:
        return self._budget.usage(sequences) <= 1.0

    def admit(self, sequence: Sequence) -> None:
        cache = DynamicCache(config=self._model.config)
        self._running[sequence] = _RunningSequence(sequence, cache)
        self._sampler.add(sequence)

    def free(self, sequence: Sequence) -> None:
        self._running.pop(sequence, None)
        self._sampler.remove(sequence)

    def step(self, batch: RunningBatch) -> None:
        sequence = batch.next()
        if sequence is None:
            return
        batch.guard(sequence, self._advance, batch, self._running[sequence])
        if self._failed_forwards == _MAX_FAILED_FORWARDS:
            raise RuntimeError(f"{_MAX_FAILED_FORWARDS} forwards in a row failed")

    def kv_usage(self, running: Listed[Sequence]) -> float | None:
        return min(1.0, self._budget.usage(running)) if self._budget.token_bytes else None

    def memory_bytes(self) -> int:
        return self._bytes

    def failure(self) -> None:
        return None

    def abort(self) -> None: ...

    def close(self) -> None:
        self._running.clear()
        del self._model

    @torch.inference_mode()
    def _advance(self, batch: RunningBatch, running: _RunningSequence) -> None:
        """Prefill a chunk or decode; samples a token once all of the sequence is in the cache."""
        chunk = running.pending[: self._prefill_chunk]
        running.pending = running.pending[self._prefill_chunk :]
        batch.count(running.sequence, len(chunk) // PREFILL_TOKENS_PER_UNIT)
        rows = [] if running.pending else [running.sequence]
        masks = self._sampler.prepare(rows)
        self._failed_forwards += 1
        logits = self._forward(chunk, running.cache)
        self._failed_forwards = 0
        for sampled in self._sampler.sample(rows, logits[: len(rows)], masks):
            if isinstance(sampled, ConstraintError):
                raise sampled
            running.pending = [sampled.token_id]
            batch.append(running.sequence, sampled.token_id, sampled.logprob)

    def _forward(self, chunk: list[int], cache: DynamicCache) -> torch.Tensor:
        """Add tokens to a cache; returns the last one's logits, of shape (1, vocabulary)."""
        output = self._model(
            input_ids=torch.tensor([chunk], device=self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise EngineNotLoaded(f"torch knows no dtype {name!r}")
        return dtype
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def _load(folder: Path, device: torch.device, options: Mapping[str, Any]) -> Any:
    given = {"local_files_only": True, "use_safetensors": True, **options}
    try:
        return load_pretrained("AutoModelForCausalLM", folder, device, given)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise EngineNotLoaded(f"transformers cannot load {folder}: {error}") from error


def _weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers; tied ones count once."""
    parts = {part.data_ptr(): part for part in (*model.parameters(), *model.buffers())}
    return sum(part.numel() * part.element_size() for part in parts.values())
