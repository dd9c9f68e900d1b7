"""Reads the weights of an ONNX export of a torch model, under the model's own names.

An exporter keeps the names of embeddings, biases and norms. It transposes the matrices of linear
layers and names them ``onnx::MatMul_N``; their layer is found in the name of the node that uses
them, such as ``/encoder/layer.0/attention/self/query/MatMul``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.conversion.errors import ConversionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import NodeProto

    Array = NDArray[np.generic]
    Floats = NDArray[np.float32]

_NAMED = re.compile(r"\.(weight|bias|gamma|beta)$")
_ANONYMOUS = "onnx::"
_QUANTIZED = "_quantized"


class OnnxGraph:
    """The initializers and nodes of an ``.onnx`` file."""

    def __init__(self, file: Path) -> None:
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(file)).graph
        self._nodes = list(graph.node)
        self._arrays: dict[str, Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }

    def weights(self) -> dict[str, Floats]:
        """All weights, as float32; those of linear layers have shape (out, in), as in torch.

        Exports may be in float, in dynamic int8 (``MatMulInteger``, ``DequantizeLinear``), or in
        4-bit blocks (``MatMulNBits``).
        """
        named = dict(self._named_weights())
        for node in self._nodes:
            named.update(self._linear(node))
        return named

    def _named_weights(self) -> Iterator[tuple[str, Floats]]:
        for name, array in self._arrays.items():
            if name.endswith(_QUANTIZED) and not name.startswith(_ANONYMOUS):
                base = name.removesuffix(_QUANTIZED)
                yield base, self._int8(base)
            elif _NAMED.search(name) and array.dtype.kind == "f":
                yield name, array.astype("float32")

    def _linear(self, node: NodeProto) -> Iterator[tuple[str, Floats]]:
        if node.op_type == "MatMulNBits":
            yield f"{_module(node)}.weight", self._blocks(node)
        elif node.op_type in ("MatMul", "MatMulInteger") and node.input[1] in self._arrays:
            base = node.input[1].removesuffix(_QUANTIZED)
            integers = node.op_type == "MatMulInteger"
            matrix = self._int8(base) if integers else self._arrays[base].astype("float32")
            name = f"{_module(node)}.weight" if base.startswith(_ANONYMOUS) else base
            yield name, matrix.T

    def _int8(self, base: str) -> Floats:
        """Value = (integer - zero point) * scale, as in ONNX ``DequantizeLinear``."""
        integers = self._arrays[base + _QUANTIZED].astype("float32")
        zero = self._arrays[f"{base}_zero_point"].astype("float32")
        floats: Floats = (integers - zero) * self._arrays[f"{base}_scale"].astype("float32")
        return floats

    def _blocks(self, node: NodeProto) -> Floats:
        """Two 4-bit values a byte, low half first; one scale and zero point (or 8) for each block.

        Layout: ``com.microsoft.MatMulNBits`` in ONNX Runtime's ContribOperators.md.
        """
        import numpy as np

        sizes = _attributes(node)
        if sizes["bits"] != 4:
            raise ConversionError(f"{node.name} has {sizes['bits']} bits; only 4 are read here")
        rows, columns = sizes["N"], sizes["K"]
        scales = self._arrays[node.input[2]].reshape(rows, -1).astype(np.float32)
        values = _halves(self._arrays[node.input[1]].reshape(rows, scales.shape[1], -1))
        zeros = np.full(scales.shape, 8, np.float32)
        if len(node.input) > 3 and node.input[3]:
            packed = self._arrays[node.input[3]].reshape(rows, -1)
            zeros = _halves(packed)[:, : scales.shape[1]]
        floats: Floats = (values - zeros[..., None]) * scales[..., None]
        return floats.reshape(rows, -1)[:, :columns]


def _module(node: NodeProto) -> str:
    return str(node.name).strip("/").rpartition("/")[0].replace("/", ".")


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx.helper import get_attribute_value

    return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}


def _halves(packed: Array) -> Floats:
    import numpy as np

    pairs = np.stack([packed & 15, packed >> 4], -1)  # type: ignore[operator]
    halves: Floats = pairs.reshape(*packed.shape[:-1], -1).astype(np.float32)
    return halves
