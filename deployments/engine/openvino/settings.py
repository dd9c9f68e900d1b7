"""What OpenVINO GenAI is told: of the model, of the plugin, and of each sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.processor import usable_cores
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.model_folder import ModelFolder
from deployments.engine.openvino.messages import KV_BLOCK_TOKENS
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Sampling

_KV_BYTES = 4

SEGMENT = 128
"""Tokens of a sampled text that are drawn from one seed. The library cannot be given a random
state, so a text that lost its place repeats the draws of its segment, and not all of them."""

READ_ONLY = {"max_new_tokens": 1, "do_sample": False, "ignore_eos": True}
"""For a piece of a prompt that is read into the prefix cache."""


_GOLDEN = 0x9E3779B1
"""Spreads the seeds of segments."""


def weights(folder: Path) -> Path:
    """The one GGUF file of a folder, or the folder itself when it holds an OpenVINO IR."""
    found = sorted(folder.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if not found and (folder / "openvino_model.xml").is_file():
        return folder
    raise EngineNotLoaded(f"{folder} holds neither one GGUF file nor an OpenVINO IR")


def kv_blocks(files: ModelFolder, gigabytes: float) -> int:
    values = files.kv_values_per_token()
    if values is None:
        raise EngineNotLoaded(f"{files.path}/config.json does not tell the size of the KV cache")
    blocks = int(gigabytes * 2**30) // (values * _KV_BYTES * KV_BLOCK_TOKENS)
    if blocks < 2:
        raise EngineNotLoaded(f"{gigabytes} GB of KV cache hold less than two blocks of tokens")
    return blocks


def whole_blocks(tokens: int) -> int:
    """The prefix cache keeps whole blocks; at least one."""
    return max(1, tokens // KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS


def properties(threads: int | None) -> dict[str, Any]:
    """Exact arithmetic: with the plugin's defaults a text depends on what decodes beside it."""
    count = threads or usable_cores()
    return {
        "KV_CACHE_PRECISION": "f32",
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "INFERENCE_NUM_THREADS": count,
        "sampler_num_threads": count,
    }


def settings(sequence: Sequence, start: int) -> dict[str, Any]:
    """Fields of ``GenerationConfig`` for a sequence whose first ``start`` new tokens are read.

    A sampled one ends with its segment. Its seed depends on where it starts.
    """
    sampling: Sampling = sequence.sampling
    new_tokens = sequence.max_new_tokens - start
    min_tokens_left = max(0, sequence.min_new_tokens - start)
    if not sampling.greedy:
        new_tokens = min(new_tokens, SEGMENT - start % SEGMENT)
    fields: dict[str, Any] = {
        "max_new_tokens": new_tokens,
        "min_new_tokens": min(min_tokens_left, new_tokens),
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
            "rng_seed": (sequence.seed + start * _GOLDEN) % 2**32,
        }
        if sampling.top_k:
            fields["top_k"] = sampling.top_k
    return fields
