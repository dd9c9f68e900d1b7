"""Runs encoders on OpenVINO, on CPUs and without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino

from configs.engines import EngineName
from deployments.encoders.fast_tokenizer import FastTokenizer
from deployments.encoders.interface import EncoderInfo, Outputs
from deployments.encoders.tokenization import TokenizedText
from deployments.models.thread_priority import lower_thread_priority

MODEL_FILE = "openvino_model.xml"
INFO_FILE = "traits.json"
DEVICE = "CPU"


class OpenVinoNetwork:
    """The network in a folder that the recipe ``openvino`` of the conversion wrote.

    ``at_once`` forwards, at most ``threads``, may run at a time, each on its share of the threads.
    It computes in float32, or with ``bfloat16`` in bfloat16 if the processor has that.
    """

    engine: EngineName = "openvino"

    def __init__(
        self, folder: Path, threads: int, at_once: int = 1, *, bfloat16: bool = True
    ) -> None:
        self.info = EncoderInfo.read(folder / INFO_FILE)
        self.tokenizer = FastTokenizer.read(folder)
        self.at_once = min(at_once, threads)
        compiled = compiled_model(folder / MODEL_FILE, threads, self.at_once, bfloat16=bfloat16)
        self._inputs = [port.any_name for port in compiled.inputs]
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.at_once):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, batch: Sequence[TokenizedText]) -> Outputs:
        arrays = self.tokenizer.padding(batch, pooled=not self.info.pools_prompts)
        inputs = {name: arrays[name] for name in self._inputs}
        request = self._idle.get()
        try:
            outputs = request.infer(inputs, share_inputs=True, share_outputs=True)
            # Copied, since the next forward of this infer request overwrites its outputs.
            return np.array(outputs[0], np.float32)
        finally:
            self._idle.put(request)


def warm_up_library() -> None:
    """Compile and run a tiny model, so that the memory of the library's one-time setup is not
    attributed to the first model."""
    from openvino import opset13 as ops

    rows = ops.parameter([-1, 64], np.float32)
    product = ops.matmul(rows, ops.constant(np.ones((64, 64), np.float32)), False, False)
    small = openvino.Model([ops.softmax(product, -1)], [rows])
    settings = properties(threads=1, bfloat16=False)
    openvino.Core().compile_model(small, DEVICE, settings)([np.ones((8, 64), np.float32)])


def compiled_model(model: Path, threads: int, at_once: int, *, bfloat16: bool) -> Any:
    """The model, compiled for ``threads`` threads that ``at_once`` forwards share."""
    core = openvino.Core()
    settings = properties(threads, bfloat16 and native_bfloat16(core), at_once)
    with ThreadPoolExecutor(
        1, initializer=lower_thread_priority
    ) as thread:  # OpenVINO's threads inherit its priority
        return thread.submit(core.compile_model, str(model), DEVICE, settings).result()


def properties(threads: int, bfloat16: bool, at_once: int = 1) -> Mapping[str, Any]:
    """OpenVINO's settings: low latency, in bfloat16 or float32.

    Threads are not pinned to cores, since every replica would pin its own to the same ones.
    """
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": at_once,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
    }


def native_bfloat16(core: Any) -> bool:
    return "BF16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
