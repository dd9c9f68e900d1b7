"""An encoder for OpenVINO: its network, its tokenizer, its info, and how fast it is beside torch.

What is written needs neither torch nor transformers. It is compared with torch on texts of several
lengths before it is believed: a network is recorded on an example, and one whose course depends on
its input would go on as the example did.
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
from configs.weights.exports import FACTS_FILE
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
"""Nine words: the length of a query."""

BATCH = 32
LONGEST_WORDS = 64
TOLERANCE = 1e-3
"""How far outputs may be from torch's, as a part of the largest one; rounding makes 1e-6 of it."""
ROUNDS = {1: 15, BATCH: 3}
PATIENCE_S = 15.0


def write_export(origin: Path, folder: Path, head: ModelHead) -> None:
    """Write into ``folder`` what :class:`OpenVinoNetwork` reads, or only why there can be none.

    In either case ``export.json`` says which engine is the faster one on this processor. Where that
    multiplies bfloat16 it says so of both, and how far answers in it are from those in float32.
    """
    threads = usable_cores()
    torch.set_num_threads(threads)
    network = pytorch.load_network(head, origin, "cpu", OPTIONS)
    facts: dict[str, Any] = {"processor": processor_name(), "threads": threads}
    try:
        _write(network, folder)
        exported = OpenVinoNetwork(folder, threads, bfloat16=False)
        _compare(network, exported)
    except Exception as error:  # noqa: BLE001  the edge: whatever a converter raises is a no
        for file in folder.iterdir():
            file.unlink()
        facts["refusal"] = (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
    else:
        timed = _timed(network, exported)
        if native_bfloat16():
            bfloat16 = OpenVinoNetwork(folder, threads)
            # Told, not judged: torch, too, would compute in it.
            facts |= {"float32": timed, "bfloat16_difference": _difference(network, bfloat16)}
            network.module.to(torch.bfloat16)
            timed = _timed(network, bfloat16)
        facts |= timed
    (folder / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")


def _write(network: pytorch.TorchNetwork, folder: Path) -> None:
    # Its telemetry is asked whether it may, and reports: without the module there is none.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    if not getattr(network.tokenizer, "is_fast", False):
        raise ConversionError("it has no fast tokenizer, and the others need transformers")
    FastTokenizer.save(network.tokenizer, folder)
    network.info.write(folder / INFO_FILE)
    example = network.inputs(_texts(network, [SENTENCE, *_mixed(3)]))
    with torch.inference_mode(), warnings.catch_warnings():
        # Each says that the recording may not hold for other inputs: that is what is compared.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(_Recorded(network.module), example_input=example)
    # Weights as they are: by default they are rounded to float16.
    openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=False)


class _Recorded(torch.nn.Module):
    """The network with its inputs by name, as the converter wants them."""

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
    """How far outputs are from torch's at most, as a part of the largest one of the batch."""
    found = []
    longest = " ".join([SENTENCE] * 200)
    for texts in (["Towns"], [SENTENCE], _mixed(2), _mixed(5), [longest, SENTENCE]):
        tokenized = _texts(network, texts)
        if tokenized != _texts(exported, texts):
            raise ConversionError("its tokenizer alone reads texts in another way")
        ours, theirs = exported(tokenized), network(tokenized)
        masked = _inner(ours, tokenized), _inner(theirs, tokenized)
        found.append(float(np.abs(masked[0] - masked[1]).max() / np.abs(masked[1]).max()))
    return float(np.max(found))  # NaN if any is


def _inner(outputs: Any, tokenized: Sequence[TokenizedText]) -> Any:
    """Outputs without those of padding, which nobody reads."""
    if outputs.ndim == 2:
        return outputs
    rows = zip(outputs, tokenized, strict=True)
    return np.concatenate([row[: len(text)] for row, text in rows])


def _timed(network: pytorch.TorchNetwork, exported: Network) -> dict[str, Any]:
    """The shortest of alternated forwards, of one text and of a batch; the faster one over both.

    Not the medians: whatever else runs on the machine meanwhile only adds.
    """
    took: dict[EngineName, dict[str, float]] = {"torch": {}, "openvino": {}}
    for size, rounds in ROUNDS.items():
        tokenized = _texts(network, [SENTENCE] if size == 1 else _mixed(size))
        pairs = _alternated(partial(network, tokenized), partial(exported, tokenized), rounds)
        for engine, times in zip(took, pairs, strict=True):
            took[engine][str(size)] = round(min(times) * 1000, 3)
    ratios = [took["torch"][size] / took["openvino"][size] for size in took["torch"]]
    faster: EngineName = "openvino" if float(np.prod(ratios)) > 1 else "torch"
    return {"milliseconds": took, "faster": faster}


def _alternated(
    one: Callable[[], Any], other: Callable[[], Any], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each, in turns, after one forward to warm up; fewer rounds of slow models."""
    both = (one, other)
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    for attempt in range(rounds + 1):
        for run, taken in zip(both, times, strict=True):
            started = time.perf_counter()
            run()
            if attempt:
                taken.append(time.perf_counter() - started)
        if times[0] and time.perf_counter() - began > PATIENCE_S:
            break
    return times


def _mixed(count: int) -> list[str]:
    """Texts of rising lengths, as the lane sorts them."""
    words = (SENTENCE + " ") * (LONGEST_WORDS // 9 + 1)
    steps = np.linspace(3, LONGEST_WORDS, count).astype(int)
    return [" ".join(words.split()[:step]) for step in steps]


def _texts(network: Network, texts: Sequence[str]) -> list[TokenizedText]:
    """Tokenized; where prompts are not pooled, texts have ones of several lengths."""
    made = tokenize(network.tokenizer, texts, network.info.max_tokens, truncate=True)
    read = [text for text in made if isinstance(text, TokenizedText)]
    if network.info.pools_prompts:
        return read
    return [replace(text, unpooled=i % 3 % len(text)) for i, text in enumerate(read)]
