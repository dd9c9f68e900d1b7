"""Records the calls of one request: which model they used, for how long, and how many tokens."""

from __future__ import annotations

from typing import Any

from deployments.seam.generation import GenerationResult
from deployments.seam.timings import CallTiming
from deployments.seam.tokens import TokenCounts
from serve_app.ingress.metering.record import ModelUse, RequestRecord, StreamedModelUse


class CallRecorder:
    """Observes a :class:`DeploymentClient` for the record of one request."""

    def __init__(self, record: RequestRecord) -> None:
        self._record = record
        self.timed = record.timeline is not None

    def call_started(self, request: Any) -> RecordedCall:
        model: str | None = getattr(request, "model", None)  # not every request names a model
        use = None if model is None else self._record.use(model)
        return RecordedCall(self._record, use, request)


class RecordedCall:
    """One call. ``use`` is ``None`` if it calls no model."""

    def __init__(self, record: RequestRecord, use: ModelUse | None, request: Any) -> None:
        self._record = record
        self._use = use
        self._request = request
        self._began = record.clock()

    def result_received(self, answer: Any) -> None:
        if self._use is not None:
            # A problem counts no tokens, nor does a label or a box of an image.
            tokens: TokenCounts = getattr(answer, "token_counts", TokenCounts())
            generated = answer.choices if isinstance(answer, GenerationResult) else ()
            reasons = (choice.finish_reason for choice in generated)
            self._record.result_received(self._use, tokens, reasons)

    def timing_received(self, timing: CallTiming) -> None:
        if self._use is not None and self._record.timeline is not None:
            self._record.timeline.call_ended(self._request.model, self._began, timing)

    def stream_started(self) -> RecordedStream:
        assert self._use is not None
        streamed = self._record.streamed(self._use, self._request.model, self._request.choices)
        return RecordedStream(streamed, self)


class RecordedStream:
    """The chunks of one call that is streamed."""

    def __init__(self, streamed: StreamedModelUse, call: RecordedCall) -> None:
        self.add = streamed.add
        self.timing_received = call.timing_received
