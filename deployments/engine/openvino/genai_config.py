"""Configuration of OpenVINO GenAI: weights file, KV cache blocks, plugin, and each generation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.processor import native_bfloat16, processor_name, usable_cores
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.model_folder import ModelFolder
from deployments.engine.sequence import Sequence
from deployments.engine.tuning import SEED_SEGMENT_TOKENS
from deployments.seam.generation import Sampling

IR_FILE = "openvino_model.xml"
EXACT_FOLDER = "openvino"
"""The folder of the IR that :mod:`deployments.conversion.gguf_zero_points` writes."""

KV_BLOCK_TOKENS = 32
"""Tokens of a KV cache block: the library's own size on a CPU."""

_PRECISION: Mapping[str, Mapping[str, str]] = {
    "float32": {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    },
    "bfloat16": {
        "INFERENCE_PRECISION_HINT": "bf16",
        "KV_CACHE_PRECISION": "bf16",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    },
    # With the hint bf16 the library ignores the group size. With f32 the KV cache must be f32.
    "dynamic-int8": {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32",
    },
}
"""The plugin's properties for each dtype."""

_KV_VALUE_BYTES = {"f32": 4, "bf16": 2}
"""Bytes of a number in the KV cache, by its precision."""

PREFILL_ONLY = {"max_new_tokens": 1, "do_sample": False, "ignore_eos": True}
"""Generation fields of a run that only prefills part of a prompt, to fill the prefix cache."""

_GOLDEN_RATIO = 0x9E3779B1
"""2**32 divided by the golden ratio: multiples of it spread the seeds of segments."""


def weights_path(folder: Path, dtype: str) -> Path:
    """What the library reads: the one GGUF file of a folder, or an OpenVINO IR.

    A GGUF file may have an IR beside it (:data:`EXACT_FOLDER`) with fractional zero points, which
    8-bit arithmetic does not multiply.
    """
    exact = folder / EXACT_FOLDER
    if dtype != "dynamic-int8" and (exact / IR_FILE).is_file():
        return exact
    found = sorted(folder.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if not found and (folder / IR_FILE).is_file():
        return folder
    raise EngineNotLoaded(f"{folder} holds neither one GGUF file nor an OpenVINO IR")


def computing_dtype(dtype: str) -> str:
    """The dtype of the engine's setting: "auto" is float32. Raises ``EngineNotLoaded`` for one that
    the library or this processor does not have."""
    if dtype == "auto":
        return "float32"
    if dtype not in _PRECISION:
        raise EngineNotLoaded(f"OpenVINO does not generate in {dtype}")
    if dtype == "bfloat16" and not native_bfloat16():
        raise EngineNotLoaded(f"{processor_name()} has no bfloat16 arithmetic")
    return dtype


def kv_blocks(files: ModelFolder, gigabytes: float, dtype: str) -> int:
    """How many KV cache blocks fit into so many GiB. Raises ``EngineNotLoaded`` below two."""
    values = files.kv_values_per_token()
    if values is None:
        raise EngineNotLoaded(f"{files.path}/config.json does not tell the size of the KV cache")
    value_bytes = _KV_VALUE_BYTES[_PRECISION[dtype]["KV_CACHE_PRECISION"]]
    blocks = int(gigabytes * 2**30) // (values * value_bytes * KV_BLOCK_TOKENS)
    if blocks < 2:
        raise EngineNotLoaded(f"{gigabytes} GB of KV cache hold less than two blocks of tokens")
    return blocks


def whole_blocks(tokens: int) -> int:
    """``tokens`` rounded down to whole KV cache blocks, at least one: the prefix cache stores
    whole blocks only."""
    return max(1, tokens // KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS


def plugin_properties(threads: int | None, dtype: str) -> dict[str, Any]:
    """Threads and precision, each named: the plugin's defaults reduce precision, which makes the
    tokens of a sequence depend on its batch."""
    count = threads or usable_cores()
    return {
        **_PRECISION[dtype],
        "INFERENCE_NUM_THREADS": count,
        "sampler_num_threads": count,
    }


def generation_config(sequence: Sequence, generated_tokens: int) -> dict[str, Any]:
    """Fields of ``GenerationConfig`` for a run whose prompt ends with so many ``generated_tokens``.

    Sampling is reseeded every ``SEED_SEGMENT_TOKENS``, so that a resumed run can be replayed: a
    sampled run ends with its segment, and its seed depends on ``generated_tokens``.
    """
    sampling: Sampling = sequence.sampling
    new_tokens = sequence.max_new_tokens - generated_tokens
    if not sampling.greedy:
        new_tokens = min(new_tokens, SEED_SEGMENT_TOKENS - generated_tokens % SEED_SEGMENT_TOKENS)
    fields: dict[str, Any] = {
        "max_new_tokens": new_tokens,
        "min_new_tokens": min(max(0, sequence.min_new_tokens - generated_tokens), new_tokens),
        "stop_token_ids": set(sequence.eos_ids),
        "ignore_eos": not sequence.eos_ids,
        "repetition_penalty": sampling.repetition_penalty,
        "logprobs": int(sampling.logprobs),
        "do_sample": not sampling.greedy,
    }
    if not sampling.greedy:
        fields |= {
            "temperature": sampling.temperature,
            "top_p": sampling.nucleus,
            "rng_seed": (sequence.seed + generated_tokens * _GOLDEN_RATIO) % 2**32,
        }
        if sampling.top_k:
            fields["top_k"] = sampling.top_k
        if sampling.min_p:
            fields["min_p"] = sampling.min_p
    return fields
