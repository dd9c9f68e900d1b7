"""The process that runs OpenVINO GenAI's continuous batching, one step a message.

It is a process because ``ContinuousBatchingPipeline.step`` keeps Python's global lock: a thread
beside it, such as an event loop, would stand still for as long as each step takes. It ends when
its connection does. Started by :mod:`deployments.engine.openvino.client` as
``python -m deployments.engine.openvino.process <file descriptor>``.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from deployments.engine.openvino.messages import (
    Admission,
    EngineFailure,
    Launch,
    Ready,
    SequenceUpdate,
    StepCommand,
)
from deployments.models.thread_priority import give_way


class GenaiPipeline:
    """The pipeline and the handles of what runs in it. Single-threaded."""

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
        scheduler.enable_prefix_caching = True
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            launch.model, scheduler, "CPU", dict(launch.properties)
        )
        self._handles: dict[int, Any] = {}

    def turn(self, turn: StepCommand) -> SequenceUpdate:
        outcome = SequenceUpdate()
        for number in turn.drops:
            handle = self._handles.pop(number, None)
            if handle is not None:
                handle.cancel()
        for admission in turn.admissions:
            self._admit(admission, outcome)
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        for number in list(self._handles):
            self._collect(number, outcome)
        outcome.kv_usage = self._pipeline.get_metrics().cache_usage / 100
        return outcome

    def _admit(self, admission: Admission, outcome: SequenceUpdate) -> None:
        try:
            config = self._genai.GenerationConfig()
            for name, value in admission.settings.items():
                setattr(config, name, value)
            ids = self._openvino.Tensor(np.array([admission.prompt_ids], dtype=np.int64))
            handle = self._pipeline.add_request(admission.number, ids, config)
        except Exception as error:  # noqa: BLE001  whatever it is, it is this sequence's
            outcome.refused[admission.number] = f"{type(error).__name__}: {error}"
        else:
            self._handles[admission.number] = handle

    def _collect(self, number: int, outcome: SequenceUpdate) -> None:
        try:
            self._read(number, outcome)
        except Exception as error:  # noqa: BLE001  whatever it is, it is this sequence's
            self._handles.pop(number).cancel()
            outcome.refused[number] = f"{type(error).__name__}: {error}"

    def _read(self, number: int, outcome: SequenceUpdate) -> None:
        handle = self._handles[number]
        tokens: list[tuple[int, float]] = []
        while handle.can_read():
            for output in handle.read().values():
                logprobs = output.generated_log_probs or [0.0] * len(output.generated_ids)
                tokens.extend(zip(output.generated_ids, logprobs, strict=True))
        if tokens:
            outcome.tokens[number] = tokens
        status = handle.get_status()
        if status == self._genai.GenerationStatus.RUNNING:
            return
        if status == self._genai.GenerationStatus.IGNORED:
            outcome.ousted.append(number)
        del self._handles[number]


def serve(connection: Connection) -> None:
    """Load what the first message names, then answer each turn with its outcome."""
    give_way()
    try:
        pipeline = GenaiPipeline(connection.recv())
        connection.send(Ready())
        while True:
            connection.send(pipeline.turn(connection.recv()))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # noqa: BLE001  the edge of the process
        connection.send(EngineFailure(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
