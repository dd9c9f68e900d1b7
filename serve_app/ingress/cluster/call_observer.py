"""What is told of the calls of one request, for metering."""

from __future__ import annotations

from typing import Any, Protocol

from deployments.seam.timings import CallTiming
from serve_app.ingress.cluster.chunk_stream import ChunkObserver


class ObservedCall(Protocol):
    """One call. Its observer is notified of the result or the first chunk, but not of a failure."""

    def result_received(self, answer: Any) -> None: ...

    def timing_received(self, timing: CallTiming) -> None: ...

    def stream_started(self) -> ChunkObserver:
        """The first chunk has arrived. Returns the observer of all chunks of the stream."""
        ...


class CallObserver(Protocol):
    """Is notified of the calls of one request, for metering.

    With ``timed`` the replicas tell how long the stages of its calls took.
    """

    timed: bool

    def call_started(self, request: Any) -> ObservedCall: ...
