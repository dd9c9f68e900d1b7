"""Decoding with transformers' own models, anywhere torch runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from deployments.engine.choosing import TokenChooser
from deployments.engine.codec import TextCodec
from deployments.engine.constraint import ConstraintError
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.model_folder import ModelFolder
from deployments.engine.sequence import Sequence
from deployments.engine.stepping import SteppingEngine
from deployments.memory import own_weights
from deployments.seam import Problem

_NO_WINDOW = 2048


class _Decoding:
    """A sequence in a slot: its cache, and the tokens that the model has not seen yet."""

    def __init__(self, sequence: Sequence, cache: DynamicCache, chooser: TokenChooser) -> None:
        self.sequence = sequence
        self.cache = cache
        self.chooser = chooser
        self.unseen = [*sequence.prompt_ids, *sequence.generated]


class TorchEngine(SteppingEngine):
    """Any ``AutoModelForCausalLM`` with a KV cache, one sequence at a time.

    ``device`` and ``dtype`` may be "auto": the best device there is; float32 on a CPU, bfloat16
    where a GPU has it, else float16. ``options`` are further keyword arguments of
    ``from_pretrained`` and outrank ``dtype``. ``threads`` is torch's, for the whole process. A
    prompt is read ``prefill_chunk`` tokens a step, so that a cancel need not wait for all of it.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
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
        bounds = [each for each in (window, files.window) if each is not None]
        smallest = min(bounds, default=_NO_WINDOW)
        self._device = _device(device)
        super().__init__(
            codec,
            slots=1,
            window=smallest,
            hang_after_s=hang_after_s,
            computes=self._device.type == "cpu",
        )
        if threads is not None:
            torch.set_num_threads(threads)
        options = {"dtype": _dtype(dtype, self._device), **(options or {})}
        self._model = _load(files.path, self._device, options)
        self._bytes = _size(self._model)
        self._prefill_chunk = prefill_chunk
        self._decodings: dict[Sequence, _Decoding] = {}
        self._start()

    @property
    def device(self) -> str:
        return str(self._model.device)

    def _enter(self, sequence: Sequence) -> None:
        cache = DynamicCache(config=self._model.config)
        chooser = TokenChooser(sequence, self.codec)
        self._decodings[sequence] = _Decoding(sequence, cache, chooser)

    def _leave(self, sequence: Sequence) -> None:
        del self._decodings[sequence]

    def _step(self) -> None:
        for decoding in list(self._decodings.values()):
            logits = self._forward(decoding)
            if not decoding.unseen:
                self._choose(decoding, logits)

    @torch.inference_mode()
    def _forward(self, decoding: _Decoding) -> torch.Tensor:
        """Show the model the next chunk; logits of shape (vocabulary,) behind its last token."""
        chunk = decoding.unseen[: self._prefill_chunk]
        decoding.unseen = decoding.unseen[self._prefill_chunk :]
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
        try:
            token_id, logprob = decoding.chooser.choose(logits)
        except ConstraintError as error:
            self._give_up(decoding.sequence, Problem("validation", str(error), "grammar"))
            return
        decoding.unseen = [token_id]
        self._hand_over(decoding.sequence, token_id, logprob)

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
