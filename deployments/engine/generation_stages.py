"""Records a generation request's stages, if the request asked for its timeline."""

from __future__ import annotations

import time

from deployments.engine.interface import Engine
from deployments.metrics.stage_recorder import StageRecorder


class GenerationStages:
    """Queue, prefill and decoding of one request. ``running`` sequences shared the steps."""

    def __init__(self, engine: Engine, recorder: StageRecorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._since = time.monotonic()
        self._admitted = False
        self._prefilled = False
        self._running = 0

    def admitted(self) -> None:
        """The first sequence got a slot. Called on the engine's thread, for each sequence."""
        if not self._admitted:
            self._admitted = True
            self._end("queue")

    def first_tokens(self) -> None:
        """Tokens have come; only the first ones end the prefill."""
        if not self._prefilled:
            self._prefilled = True
            self._running = self._engine.load().running
            self._end("prefill", self._running)

    def finished(self) -> None:
        """The last token has come."""
        self._end("decode", max(self._running, self._engine.load().running))

    def _end(self, stage: str, running: int = 0) -> None:
        now = time.monotonic()
        self._recorder.add(stage, self._since, now, items=running)
        self._since = now
