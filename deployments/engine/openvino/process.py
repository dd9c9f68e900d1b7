"""The process that runs OpenVINO GenAI's continuous batching: a step for each message.

It is a process because ``ContinuousBatchingPipeline.step`` keeps Python's global interpreter lock:
an event loop in the same process would stand still for as long as each step takes. It ends when its
connection is closed. Started by :mod:`deployments.engine.openvino.client` as
``python -m deployments.engine.openvino.process <file descriptor>``.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from deployments.engine.openvino.messages import (
    Launch,
    PipelineFailure,
    PipelineReady,
    RunAdmission,
    StepCommand,
    StepResult,
)
from deployments.models.thread_priority import lower_thread_priority


class GenaiPipeline:
    """The pipeline, and the handles of the runs in it. Single-threaded."""

    def __init__(self, launch: Launch) -> None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino
        import openvino_genai

        self._openvino = openvino
        self._genai = openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.num_kv_blocks = launch.kv_blocks
        scheduler.max_num_seqs = launch.slots
        scheduler.max_num_batched_tokens = launch.max_batched_tokens
        scheduler.dynamic_split_fuse = True
        scheduler.enable_prefix_caching = launch.prefix_cache
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            launch.model, scheduler, "CPU", dict(launch.properties)
        )
        self._handles: dict[int, Any] = {}

    def step(self, command: StepCommand) -> StepResult:
        result = StepResult()
        for run_id in command.cancels:
            handle = self._handles.pop(run_id, None)
            if handle is not None:
                handle.cancel()
        for admission in command.admissions:
            self._admit(admission, result)
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        for run_id in list(self._handles):
            self._collect(run_id, result)
        result.kv_usage = self._pipeline.get_metrics().cache_usage / 100
        return result

    def _admit(self, admission: RunAdmission, result: StepResult) -> None:
        try:
            config = self._genai.GenerationConfig()
            for name, value in admission.settings.items():
                setattr(config, name, value)
            ids = self._openvino.Tensor(np.array([admission.prompt_ids], dtype=np.int64))
            handle = self._pipeline.add_request(admission.run_id, ids, config)
        except Exception as error:  # noqa: BLE001  whatever it is, it is this run's
            result.rejected[admission.run_id] = f"{type(error).__name__}: {error}"
        else:
            self._handles[admission.run_id] = handle

    def _collect(self, run_id: int, result: StepResult) -> None:
        try:
            self._read(run_id, result)
        except Exception as error:  # noqa: BLE001  whatever it is, it is this run's
            self._handles.pop(run_id).cancel()
            result.rejected[run_id] = f"{type(error).__name__}: {error}"

    def _read(self, run_id: int, result: StepResult) -> None:
        """Take the new tokens of a run, and its end."""
        handle = self._handles[run_id]
        tokens: list[tuple[int, float]] = []
        while handle.can_read():
            for output in handle.read().values():
                logprobs = output.generated_log_probs or [0.0] * len(output.generated_ids)
                tokens.extend(zip(output.generated_ids, logprobs, strict=True))
        if tokens:
            result.tokens[run_id] = tokens
        status = handle.get_status()
        if status == self._genai.GenerationStatus.RUNNING:
            return
        if status == self._genai.GenerationStatus.IGNORED:
            result.evicted.append(run_id)
        del self._handles[run_id]


def serve(connection: Connection) -> None:
    """Load what the first message names, then answer each command with the result of a step."""
    lower_thread_priority()
    try:
        pipeline = GenaiPipeline(connection.recv())
        connection.send(PipelineReady())
        while True:
            connection.send(pipeline.step(connection.recv()))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # noqa: BLE001  the edge of the process
        connection.send(PipelineFailure(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
