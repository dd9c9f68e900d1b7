"""The zero points of a GGUF file, which OpenVINO GenAI rounds, are put back into its IR."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.conversion.gguf_zero_points import _GgufWeights, _mend
from deployments.conversion.openvino_dtypes import perplexity_of
from deployments.conversion.probe_texts import TEXT
from deployments.engine.codec import TextCodec
from deployments.engine.openvino.genai_config import (
    EXACT_FOLDER,
    IR_FILE,
    plugin_properties,
    weights_path,
)
from deployments.engine.openvino.messages import Launch
from tests.deployments.engine.conftest import smollm2

pytest.importorskip("openvino_genai")
gguf = pytest.importorskip("gguf")

HEADS, ROWS, COLUMNS = 2, 64, 64
Floats = NDArray[np.float32]


def random_matrix(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(0.1, 1, (ROWS, COLUMNS)).astype(np.float32)


def written(path: Path, matrices: dict[str, Floats], kind: str) -> Path:
    """A GGUF file with these matrices."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    quantisation = gguf.GGMLQuantizationType[kind]
    for name, matrix in matrices.items():
        data = gguf.quants.quantize(matrix, quantisation)
        writer.add_tensor(name, data, raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def read_rounded(matrix: Floats) -> Any:
    """The product with the Q4_1 of ``matrix``, as GenAI reads it: with whole zero points."""
    import openvino
    from openvino import opset13

    raw = gguf.quants.quantize(matrix, gguf.GGMLQuantizationType.Q4_1).reshape(-1, 20)
    scale, minimum = (
        raw[:, at : at + 2].copy().view(np.float16).astype(np.float32) for at in (0, 2)
    )
    steps = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1)
    shape = [ROWS, COLUMNS // 32, 32]
    zero = np.rint(-minimum / scale).reshape(*shape[:2], 1)

    def fourths(numbers: NDArray[Any]) -> Any:
        constant = opset13.constant(numbers.astype(np.uint8), openvino.Type.u4)
        return opset13.convert(constant, "f16")

    weights = opset13.multiply(
        opset13.subtract(fourths(steps.reshape(shape)), fourths(zero)),
        opset13.constant(scale.reshape(zero.shape).astype(np.float16)),
    )
    flat = opset13.reshape(weights, opset13.constant([ROWS, COLUMNS]), special_zero=False)
    given = opset13.parameter([-1, COLUMNS], np.float32)
    product = opset13.matmul(given, opset13.convert(flat, "f32"), False, True)
    return openvino.Model([product], [given])


def product_of(model: Any, given: Floats) -> Floats:
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result: Floats = compiled([given])[0]
    return result


def as_stored(matrix: Floats) -> Floats:
    """Its rows as llama.cpp orders those of queries and keys."""
    halves = matrix.reshape(HEADS, 2, ROWS // HEADS // 2, COLUMNS)
    return halves.swapaxes(1, 2).reshape(ROWS, COLUMNS)


@pytest.mark.parametrize("interleaved", [False, True])
def test_weights_are_those_of_the_file(tmp_path: Path, interleaved: bool) -> None:
    matrix, other = random_matrix(1), random_matrix(2)
    stored = as_stored(matrix) if interleaved else matrix
    file = written(tmp_path / "a.gguf", {"other": other, "it": stored}, "Q4_1")
    given = random_matrix(3)
    kind = gguf.GGMLQuantizationType.Q4_1
    wanted = given @ gguf.quants.dequantize(gguf.quants.quantize(matrix, kind), kind).T
    model = read_rounded(matrix)
    assert np.abs(product_of(model, given) - wanted).max() > 1
    assert _mend(model, _GgufWeights(file))
    assert product_of(model, given) == pytest.approx(wanted, abs=0.05)  # numbers of 16 bits


def test_weights_that_are_not_in_the_file_are_left_alone(tmp_path: Path) -> None:
    file = written(tmp_path / "a.gguf", {"other": random_matrix(2)}, "Q4_1")
    assert not _mend(read_rounded(random_matrix(1)), _GgufWeights(file))


def test_other_subtractions_are_no_weights(tmp_path: Path) -> None:
    """Nor does a file have to say how many heads its keys have."""
    import openvino
    from openvino import opset13

    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_head_count(HEADS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    given = opset13.parameter([-1, COLUMNS], np.float32)
    less = opset13.subtract(given, opset13.constant(np.float32(1)))
    model = openvino.Model([opset13.add(less, opset13.multiply(less, less)), less], [given])
    assert not _mend(model, _GgufWeights(tmp_path / "a.gguf"))


def test_zero_points_that_are_whole_are_left_alone(tmp_path: Path) -> None:
    steps = np.random.default_rng(4).integers(0, 16, (ROWS, COLUMNS)).astype(np.float32)
    steps[:, ::32], steps[:, 1::32] = 0, 15  # the scale is one half, and the minimum minus four
    whole: Floats = (steps - 8) / np.float32(2)
    file = written(tmp_path / "a.gguf", {"it": whole}, "Q4_1")
    assert not _mend(read_rounded(whole), _GgufWeights(file))


def test_a_chat_model_is_as_good_as_its_file_says() -> None:
    """Its perplexity is that of the same file in torch; as GenAI reads it, it is a fourth more."""
    import torch
    from transformers import AutoModelForCausalLM

    from deployments.engine.openvino.process import GenaiPipeline

    folder = smollm2("gguf-tokenizer")
    ids = tuple(TextCodec.from_folder(folder).encode(TEXT))
    model: Any = AutoModelForCausalLM.from_pretrained(
        smollm2("gguf-safetensors"), dtype=torch.float32
    )
    with torch.inference_mode():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    right = math.exp(
        -sum(float(logprobs[at - 1, ids[at]]) for at in range(1, len(ids))) / (len(ids) - 1)
    )

    def perplexity(path: Path) -> float:
        properties = plugin_properties(2, "float32")
        launch = Launch(str(path), properties, 1, 40, 512, prefix_cache=False)
        return perplexity_of(GenaiPipeline(launch), ids)

    exact = weights_path(folder, "float32")
    assert exact == folder / EXACT_FOLDER
    assert (exact / IR_FILE).is_file()
    assert perplexity(exact) == pytest.approx(right, rel=0.01)
    rounded = weights_path(folder, "dynamic-int8")
    assert rounded.suffix == ".gguf"
    assert perplexity(rounded) > 1.1 * right
