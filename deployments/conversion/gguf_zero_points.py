"""Writes a GGUF file as an OpenVINO IR with the zero points that the file has.

A GGUF file of the kinds Q4_1 and Q4_K stores a weight as ``scale * q + minimum``, with a whole
number ``q`` and two fractions for each group of 32. OpenVINO GenAI reads it as
``scale * (q - zero_point)`` and rounds the zero point to a whole number, which is wrong by up to
half a step: as much as the quantisation itself. Its plugin multiplies with fractional zero points
too, so they are put into the IR that GenAI makes. (SmolLM2-135M in Q4_1 has a perplexity of 63.4 as
GenAI reads it, and of 49.4 with its own zero points, as in torch.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.weights.hub import link_or_copy
from deployments.engine.openvino.genai_config import EXACT_FOLDER, IR_FILE

if TYPE_CHECKING:
    from gguf import GGUFReader

Floats = NDArray[np.float32]

ROUNDED = 0.51
"""How many steps of its scale a weight may be from the file's because of a rounded zero point."""

NOT_ROUNDED = 0.05
"""The same with the right zero point: scales are rounded to float16."""


class Quantised(NamedTuple):
    """Weights of a matrix product in an IR: the node that subtracts zero points, and its numbers.

    ``steps`` has the shape (rows, groups, values of a group), ``scale`` and ``zero_point`` the
    same with one value of a group.
    """

    subtraction: Any
    steps: Floats
    scale: Floats
    zero_point: Floats

    def is_near(self, weights: Floats, zero_point: Floats, steps: float) -> bool:
        """Whether no weight is farther from ``weights`` than so many steps. Both may be of the
        first rows only."""
        rows = len(weights)
        scale = self.scale[:rows]
        distance = np.abs(scale * (self.steps[:rows] - zero_point[:rows]) - weights)
        return bool(np.all(distance <= steps * np.abs(scale) + 1e-6))


def write_exact_ir(file: Path, folder: Path) -> bool:
    """Write the IR of ``file`` into a folder below ``folder``, where GenAI's reader rounds it.

    Returns whether it is there. It is not if nothing is rounded, nor if the reader makes of the
    file what is not understood here, nor without OpenVINO.
    """
    if find_spec("openvino_genai") is None:
        return False
    import openvino

    with TemporaryDirectory(dir=folder) as place:
        model = openvino.Core().read_model(_read_by_genai(file, Path(place)))
        mended = _mend(model, _GgufWeights(file))
        if mended:
            exact = folder / EXACT_FOLDER
            exact.mkdir()
            openvino.save_model(model, exact / IR_FILE, compress_to_fp16=False)
            for name in ("config.json", "generation_config.json"):
                copy(folder / name, exact / name)
        del model  # it maps the file in ``place``
    return mended


def _read_by_genai(file: Path, place: Path) -> Path:
    """The IR that OpenVINO GenAI makes of the file."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino_genai

    link_or_copy(file, place / file.name)
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = 2
    options = {"enable_save_ov_model": True, "INFERENCE_PRECISION_HINT": "f32"}
    openvino_genai.ContinuousBatchingPipeline(str(place / file.name), scheduler, "CPU", options)
    return place / IR_FILE


def _mend(model: Any, file: _GgufWeights) -> bool:
    """Put the file's zero points into ``model``. Returns whether any is another one, and ``False``
    where weights of the model are not found in the file."""
    from openvino import opset13

    mended = False
    for each in _quantised(model):
        weights = file.find(each)
        if weights is None:
            return False
        scale = np.where(each.scale == 0, 1, each.scale)
        exact = np.mean(each.steps - weights / scale, axis=-1, keepdims=True, dtype=np.float32)
        exact = np.where(each.scale == 0, each.zero_point, exact)
        if np.abs(exact - each.zero_point).max() < NOT_ROUNDED:
            continue
        if not each.is_near(weights, exact, NOT_ROUNDED):
            return False
        constant = opset13.constant(exact.astype(np.float16))
        each.subtraction.input(1).replace_source_output(constant.output(0))
        mended = True
    return mended


def _quantised(model: Any) -> Iterator[Quantised]:
    """All weights of the form ``(steps - zero point) * scale`` in groups."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Subtract":
            continue
        users = [each.get_node() for each in node.output(0).get_target_inputs()]
        if [each.get_type_name() for each in users] != ["Multiply"]:
            continue
        steps, zero_point = _numbers(node.input_value(0)), _numbers(node.input_value(1))
        scale = _numbers(users[0].input_value(1))
        if steps is None or zero_point is None or scale is None or steps.ndim != 3:
            continue
        yield Quantised(node, steps, scale, zero_point)


def _numbers(output: Any) -> Floats | None:
    """What a constant holds, also behind a conversion of its type."""
    node = output.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    packed, shape = np.asarray(node.get_data()), list(node.get_output_shape(0))
    if node.get_element_type().get_type_name() == "u4":  # two in a byte, the lower bits first
        halves = np.stack([packed.ravel() & 15, packed.ravel() >> 4], axis=-1)
        packed = halves.ravel()[: int(np.prod(shape))]
    numbers: Floats = packed.reshape(shape).astype(np.float32)
    return numbers


class _GgufWeights:
    """The weights of the matrices of a GGUF file, in float32."""

    def __init__(self, file: Path) -> None:
        from gguf import GGUFReader

        reader: GGUFReader = GGUFReader(file)
        self._matrices = [each for each in reader.tensors if len(each.shape) == 2]
        family = str(reader.fields["general.architecture"].contents())
        names = (f"{family}.attention.head_count", f"{family}.attention.head_count_kv")
        fields = filter(None, map(reader.fields.get, names))
        self._heads = {int(each.contents()) for each in fields}

    def find(self, quantised: Quantised) -> Floats | None:
        """The file's own weights for those of an IR, in the IR's order and shape."""
        from gguf.quants import dequantize

        rows, groups, of_group = quantised.steps.shape
        for matrix in self._matrices:
            if list(matrix.shape) != [groups * of_group, rows]:
                continue
            first = dequantize(matrix.data[:1], matrix.tensor_type).reshape(1, groups, of_group)
            if not quantised.is_near(first, quantised.zero_point, ROUNDED):
                continue
            whole = dequantize(matrix.data, matrix.tensor_type)
            for ordered in (whole, *self._without_interleaving(whole)):
                weights: Floats = ordered.reshape(rows, groups, of_group)
                if quantised.is_near(weights, quantised.zero_point, ROUNDED):
                    return weights
        return None

    def _without_interleaving(self, matrix: Floats) -> Iterator[Floats]:
        """Rows of queries and keys in the order of checkpoints: llama.cpp stores the two halves of
        a head, which rotate together, in turns."""
        rows, columns = matrix.shape
        for heads in self._heads:
            if rows % (2 * heads) == 0:
                pairs = matrix.reshape(heads, rows // heads // 2, 2, columns)
                yield pairs.swapaxes(1, 2).reshape(rows, columns)
