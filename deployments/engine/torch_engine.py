"""Decoding with transformers' own models, anywhere torch runs."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Listed
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.kv import KvMemory
from deployments.engine.model_folder import ModelFolder
from deployments.engine.sampling import Sampler
from deployments.engine.sequence import Sequence
from deployments.engine.step_loop import SteppingEngine
from deployments.models.memory import own_weights

_NO_WINDOW = 2048

_MAX_FAILED_FORWARDS = 3
"""In a row, of different sequences, before the fault is the engine's (a broken CUDA context)."""

_TOKENS_A_UNIT = 32
"""Tokens of a prompt that take about as long as decoding one."""


class _Decoding:
    """A sequence in a slot: its cache, and the tokens that the model has not seen yet."""

    def __init__(self, sequence: Sequence, cache: DynamicCache, chooser: Sampler) -> None:
        self.sequence = sequence
        self.cache = cache
        self.chooser = chooser
        self.unseen = [*sequence.prompt_ids, *sequence.generated]


class TorchEngine(SteppingEngine):
    """Any ``AutoModelForCausalLM`` with a KV cache; a step is a forward for one sequence.

    ``slots`` sequences decode in turns, each with a KV cache of its own, as far as the caches fit
    ``kv_cache_gb`` GiB together; that bounds the window too. ``None`` is one GiB, or what a full
    window takes where that is more. A sequence that loses its slot is read again when it resumes.
    ``device`` and ``dtype`` may be "auto": the best device there is; float32 on a CPU, bfloat16
    where a GPU has it, else float16. ``options`` are further keyword arguments of
    ``from_pretrained`` and outrank ``dtype``. ``threads`` is torch's, for the whole process. A
    prompt is read ``prefill_chunk`` tokens a step, so that a cancel need not wait for all of it.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        slots: int = 1,
        kv_cache_gb: float | None = None,
        device: str = "auto",
        dtype: str = "auto",
        window: int | None = None,
        chat_template: str | None = None,
        threads: int | None = None,
        options: Mapping[str, Any] | None = None,
        prefill_chunk: int = 512,
        hang_after_s: float = 120.0,
    ) -> None:
        codec = TextCodec.from_folder(folder, chat_template)
        files = ModelFolder.read(folder)
        device_found = _device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        options = {"dtype": _dtype(dtype, device_found), **(options or {})}
        self._model = _load(files.path, device_found, options)
        self._device = self._model.device
        self._bytes = _size(self._model)
        bounds = [each for each in (window, files.window) if each is not None]
        self._kv = KvMemory.measured(self._model, min(bounds, default=_NO_WINDOW), kv_cache_gb)
        super().__init__(
            codec,
            slots=slots,
            window=self._kv.window,
            hang_after_s=hang_after_s,
            computes=self._device.type == "cpu",
        )
        self._prefill_chunk = prefill_chunk
        self._decodings: dict[Sequence, _Decoding] = {}
        self._failed_forwards = 0
        self._start()

    @property
    def device(self) -> str:
        return str(self._device)

    def _enter(self, sequence: Sequence) -> None:
        cache = DynamicCache(config=self._model.config)
        chooser = Sampler(sequence, self.codec)
        self._decodings[sequence] = _Decoding(sequence, cache, chooser)

    def _leave(self, sequence: Sequence) -> None:
        self._decodings.pop(sequence, None)

    def _step(self) -> None:
        with self._wake:
            sequence = self._scheduler.next()
        if sequence is None:
            return
        self._alone(sequence, partial(self._advance, self._decodings[sequence]))
        if self._failed_forwards == _MAX_FAILED_FORWARDS:
            raise RuntimeError(f"{_MAX_FAILED_FORWARDS} forwards in a row failed")

    def _advance(self, decoding: _Decoding) -> None:
        """One forward, and a token when nothing of the text is left to be read."""
        self._failed_forwards += 1
        logits = self._forward(decoding)
        self._failed_forwards = 0
        if not decoding.unseen:
            self._choose(decoding, logits)

    @torch.inference_mode()
    def _forward(self, decoding: _Decoding) -> torch.Tensor:
        """Show the model the next chunk; logits of shape (vocabulary,) behind its last token."""
        chunk = decoding.unseen[: self._prefill_chunk]
        decoding.unseen = decoding.unseen[self._prefill_chunk :]
        self._serve(decoding.sequence, len(chunk) // _TOKENS_A_UNIT)
        output = self._model(
            input_ids=torch.tensor([chunk], device=self._device),
            past_key_values=decoding.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[0, -1]
        return logits

    @torch.inference_mode()
    def _choose(self, decoding: _Decoding, logits: torch.Tensor) -> None:
        token_id, logprob = decoding.chooser.choose(logits)
        decoding.unseen = [token_id]
        self._hand_over(decoding.sequence, token_id, logprob)

    def _fits(self, sequences: Listed[Sequence]) -> bool:
        return self._kv.usage(sequences) <= 1.0

    def _kv_usage(self) -> float | None:
        return min(1.0, self._kv.usage(self._running)) if self._kv.token_bytes else None

    def _release(self) -> None:
        self._decodings.clear()
        del self._model

    def _memory_bytes(self) -> int | None:
        return self._bytes


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
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), **given)
        model = model.eval().to(device)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise EngineNotLoaded(f"transformers cannot load {folder}: {error}") from error
    own_weights(model)
    return model


def _size(model: torch.nn.Module) -> int:
    parts = {part.data_ptr(): part for part in (*model.parameters(), *model.buffers())}
    return sum(part.numel() * part.element_size() for part in parts.values())
