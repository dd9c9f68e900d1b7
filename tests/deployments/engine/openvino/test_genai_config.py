"""What OpenVINO is told: the precision of each dtype, and blocks that fill the KV cache's bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.model_folder import ModelFolder
from deployments.engine.openvino.genai_config import (
    KV_BLOCK_TOKENS,
    computing_dtype,
    generation_config,
    kv_blocks,
    plugin_properties,
)
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Sampling

VALUES = 2 * 4 * 8 * 16
"""Numbers of a token in the KV cache: keys and values, layers, heads, size of a head."""


@pytest.fixture
def files(tmp_path: Path) -> ModelFolder:
    config = {
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "hidden_size": 128,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return ModelFolder.read(tmp_path)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("dynamic-int8", 4)])
def test_the_kv_cache_takes_the_bytes_that_it_was_given(
    files: ModelFolder, dtype: str, size: int
) -> None:
    blocks = kv_blocks(files, 0.5, dtype)
    taken = blocks * KV_BLOCK_TOKENS * VALUES * size
    assert taken <= 2**29 < taken + KV_BLOCK_TOKENS * VALUES * size


def sequence(codec: TextCodec, eos_ids: frozenset[int] | None = None, **sampling: Any) -> Sequence:
    return Sequence(
        codec=codec,
        prompt_ids=(1,),
        sampling=Sampling(**sampling),
        max_new_tokens=9,
        on_token=lambda token: None,
        on_failure=lambda problem: None,
        eos_ids=eos_ids,
    )


def test_what_the_library_samples_from_is_what_was_asked_for(byte_codec: TextCodec) -> None:
    fields = generation_config(sequence(byte_codec, top_p=0.9, top_k=7, min_p=0.25), 0)
    assert (fields["top_p"], fields["top_k"], fields["min_p"]) == (0.9, 7, 0.25)
    assert "min_p" not in generation_config(sequence(byte_codec), 0)


def test_an_end_of_sequence_is_ignored_where_none_ends_the_text(byte_codec: TextCodec) -> None:
    assert generation_config(sequence(byte_codec, eos_ids=frozenset()), 0)["ignore_eos"]
    assert not generation_config(sequence(byte_codec), 0)["ignore_eos"]


def test_float32_is_exact_and_auto_means_it() -> None:
    assert computing_dtype("auto") == "float32"
    properties = plugin_properties(3, "float32")
    assert properties["INFERENCE_PRECISION_HINT"] == properties["KV_CACHE_PRECISION"] == "f32"
    assert properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == "0"
    assert properties["INFERENCE_NUM_THREADS"] == properties["sampler_num_threads"] == 3


def test_each_dtype_is_another_precision() -> None:
    dtypes = ("float32", "bfloat16", "dynamic-int8")
    assert len({tuple(plugin_properties(1, dtype).items()) for dtype in dtypes}) == 3


def test_a_dtype_that_cannot_be_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineNotLoaded, match="not generate in float16"):
        computing_dtype("float16")
    module = "deployments.engine.openvino.genai_config"
    monkeypatch.setattr(f"{module}.native_bfloat16", lambda: True)
    assert computing_dtype("bfloat16") == "bfloat16"
    monkeypatch.setattr(f"{module}.native_bfloat16", lambda: False)
    with pytest.raises(EngineNotLoaded, match="no bfloat16 arithmetic"):
        computing_dtype("bfloat16")
