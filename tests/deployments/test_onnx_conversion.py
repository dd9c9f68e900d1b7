"""Weights are read out of an ONNX graph by their names, in floats or in blocks of four bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.conversion import onnx_bert
from deployments.conversion.errors import ConversionError
from deployments.conversion.onnx_graph import OnnxGraph


def linear_graph(file: Path, node_type: str, arrays: dict[str, Any], **attributes: Any) -> None:
    """A linear layer as exporters write it: an unnamed matrix, identified by its node's path."""
    import onnx

    names = ["x", *arrays]
    domain = "com.microsoft" if node_type == "MatMulNBits" else ""
    node = onnx.helper.make_node(
        node_type, names, ["y"], name="/encoder/dense/MatMul", domain=domain, **attributes
    )
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], tensors)), file)


def test_a_float_matrix_is_named_by_its_node_and_transposed(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    linear_graph(tmp_path / "m.onnx", "MatMul", {"onnx::MatMul_7": matrix})
    weights = OnnxGraph(tmp_path / "m.onnx").weights()
    np.testing.assert_array_equal(weights["encoder.dense.weight"], matrix.T)


@pytest.mark.parametrize("with_zeros", [False, True])
def test_four_bit_blocks_are_scaled_around_their_zero(tmp_path: Path, with_zeros: bool) -> None:
    values = np.arange(64, dtype=np.uint8).reshape(2, 32) % 16
    scales = np.array([[0.5, 2.0], [1.0, 0.25]], np.float32)
    zeros = np.array([[3, 8], [0, 15]], np.uint8) if with_zeros else np.full((2, 2), 8, np.uint8)
    arrays: dict[str, Any] = {
        "q": (values[:, ::2] | values[:, 1::2] << 4).reshape(2, 2, 8),
        "s": scales.ravel(),
    }
    if with_zeros:
        arrays["z"] = zeros[:, 0] | zeros[:, 1] << 4
    linear_graph(tmp_path / "m.onnx", "MatMulNBits", arrays, K=32, N=2, bits=4, block_size=16)
    expected = (values.reshape(2, 2, 16) - zeros[..., None].astype(np.float32)) * scales[..., None]
    weights = OnnxGraph(tmp_path / "m.onnx").weights()
    np.testing.assert_allclose(weights["encoder.dense.weight"], expected.reshape(2, 32))


def test_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    matrix = np.zeros((2, 3), np.float32)
    linear_graph(tmp_path / "m.onnx", "MatMul", {"onnx::MatMul_7": matrix})
    small = {"hidden_size": 4, "num_attention_heads": 1, "num_hidden_layers": 1, "vocab_size": 5}
    with pytest.raises(ConversionError, match="lacks"):
        onnx_bert.load(tmp_path, "BertModel", small)
