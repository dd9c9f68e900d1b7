"""Exports an encoder to OpenVINO, checks its outputs against torch, and times both engines.

The export runs without torch and transformers. OpenVINO traces the network with an example, so
control flow that depends on the input would be frozen. Therefore outputs for texts of other lengths
are compared with torch's before the export is accepted.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from configs.engines import EngineName, ModelHead
from configs.processor import native_bfloat16, processor_name, usable_cores
from configs.weights.exports import EXPORT_RECORD_FILE
from deployments.conversion.errors import ConversionError
from deployments.encoders import pytorch
from deployments.encoders.fast_tokenizer import FastTokenizer
from deployments.encoders.interface import Network
from deployments.encoders.openvino import INFO_FILE, MODEL_FILE, OpenVinoNetwork
from deployments.encoders.tokenization import TokenizedText, tokenize

OPTIONS = {
    "dtype": torch.float32,
    "trust_remote_code": False,
    "use_safetensors": True,
    "local_files_only": True,
}
SENTENCE = "Towns set their clocks by the timetable of trains"
"""Nine words, as a search query may have."""

TOLERANCE = 1e-3
"""Largest difference from torch's outputs, relative to the largest output; rounding makes 1e-6."""

# How the engines are timed when a model is first used; ``python -m bench.arithmetic`` does it at
# length.
BATCH = 32
MAX_WORDS = 64
ROUNDS = {1: 15, BATCH: 3}
"""Timed forwards of each engine, by the number of texts."""

MAX_TIMING_S = 15.0


def write_export(origin: Path, folder: Path, head: ModelHead) -> None:
    """Write the files of an :class:`OpenVinoNetwork`, or only the reason why there can be none.

    ``export.json`` has the reason, or the times of both engines on this processor and the faster
    one. On a processor with bfloat16 the times are in bfloat16, those in float32 are added, and
    the difference between the outputs in both.
    """
    threads = usable_cores()
    torch.set_num_threads(threads)
    network = pytorch.load_network(head, origin, "cpu", OPTIONS)
    record: dict[str, Any] = {"processor": processor_name(), "threads": threads}
    try:
        _write(network, folder)
        exported = OpenVinoNetwork(folder, threads, bfloat16=False)
        _compare(network, exported)
    except Exception as error:  # noqa: BLE001  whatever the converter raises is a refusal
        for file in folder.iterdir():
            file.unlink()
        record["refusal"] = (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
    else:
        timed = _timed(network, exported)
        if native_bfloat16():
            in_bfloat16 = OpenVinoNetwork(folder, threads)
            # Recorded but not judged: torch would compute in bfloat16 as well.
            record |= {"float32": timed, "bfloat16_difference": _difference(network, in_bfloat16)}
            network.module.to(torch.bfloat16)
            timed = _timed(network, in_bfloat16)
        record |= timed
    (folder / EXPORT_RECORD_FILE).write_text(json.dumps(record), encoding="utf-8")


def _write(network: pytorch.TorchNetwork, folder: Path) -> None:
    # Without this module OpenVINO sends no telemetry.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    if not getattr(network.tokenizer, "is_fast", False):
        raise ConversionError("it has no fast tokenizer, and the others need transformers")
    FastTokenizer.save(network.tokenizer, folder)
    network.info.write(folder / INFO_FILE)
    example = network.inputs(_texts(network, [SENTENCE, *_mixed(3)]))
    with torch.inference_mode(), warnings.catch_warnings():
        # Tracing warns that the trace may not hold for other inputs, which is checked below.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(_NamedInputs(network.module), example_input=example)
    # By default the weights would be rounded to float16.
    openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=False)


class _NamedInputs(torch.nn.Module):
    """The network with named parameters, as the converter needs them."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        pooled: torch.Tensor | None = None,
    ) -> torch.Tensor:
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        given |= {"token_type_ids": token_type_ids, "pooled": pooled}
        outputs: torch.Tensor = self.module(**{k: v for k, v in given.items() if v is not None})
        return outputs


def _compare(network: Network, exported: Network) -> None:
    difference = _difference(network, exported)
    if not difference < TOLERANCE:
        raise ConversionError(f"it answers differently from torch, by {difference:.0e}")


def _difference(network: Network, exported: Network) -> float:
    """The largest difference between outputs, relative to the largest output of the batch."""
    differences = []
    longest = " ".join([SENTENCE] * 200)
    for texts in (["Towns"], [SENTENCE], _mixed(2), _mixed(5), [longest, SENTENCE]):
        tokenized = _texts(network, texts)
        if tokenized != _texts(exported, texts):
            raise ConversionError("its tokenizer alone reads texts in another way")
        ours, theirs = exported(tokenized), network(tokenized)
        both = _unpadded(ours, tokenized), _unpadded(theirs, tokenized)
        differences.append(float(np.abs(both[0] - both[1]).max() / np.abs(both[1]).max()))
    return float(np.max(differences))  # NaN if any is


def _unpadded(outputs: Any, tokenized: Sequence[TokenizedText]) -> Any:
    """Outputs without those of padding."""
    if outputs.ndim == 2:
        return outputs
    rows = zip(outputs, tokenized, strict=True)
    return np.concatenate([row[: len(text)] for row, text in rows])


def _timed(network: pytorch.TorchNetwork, exported: Network) -> dict[str, Any]:
    """The shortest time of a forward on each engine, alone and in a batch, and the faster engine.

    The shortest and not the median, since other work on the machine only adds to the times.
    """
    times_ms: dict[EngineName, dict[str, float]] = {"torch": {}, "openvino": {}}
    for size, rounds in ROUNDS.items():
        tokenized = _texts(network, [SENTENCE] if size == 1 else _mixed(size))
        pairs = _alternated(partial(network, tokenized), partial(exported, tokenized), rounds)
        for engine, times in zip(times_ms, pairs, strict=True):
            times_ms[engine][str(size)] = round(min(times) * 1000, 3)
    ratios = [times_ms["torch"][size] / times_ms["openvino"][size] for size in times_ms["torch"]]
    faster: EngineName = "openvino" if float(np.prod(ratios)) > 1 else "torch"
    return {"milliseconds": times_ms, "faster": faster}


def _alternated(
    one: Callable[[], Any], other: Callable[[], Any], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each call, alternated, after one call to warm up; fewer rounds for slow models."""
    both = (one, other)
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    for attempt in range(rounds + 1):
        for run, seconds in zip(both, times, strict=True):
            started = time.perf_counter()
            run()
            if attempt:
                seconds.append(time.perf_counter() - started)
        if times[0] and time.perf_counter() - began > MAX_TIMING_S:
            break
    return times


def _mixed(count: int) -> list[str]:
    """Texts of increasing length, as batches are sorted."""
    words = (SENTENCE + " ") * (MAX_WORDS // 9 + 1)
    steps = np.linspace(3, MAX_WORDS, count).astype(int)
    return [" ".join(words.split()[:step]) for step in steps]


def _texts(network: Network, texts: Sequence[str]) -> list[TokenizedText]:
    """The tokenized texts; if prompts are not pooled, with prompts of several lengths."""
    made = tokenize(network.tokenizer, texts, network.info.max_tokens, truncate=True)
    read = [text for text in made if isinstance(text, TokenizedText)]
    if network.info.pools_prompts:
        return read
    return [replace(text, unpooled=i % 3 % len(text)) for i, text in enumerate(read)]
