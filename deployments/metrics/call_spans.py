"""Spans of calls and their stages, for OpenTelemetry, where a call belongs to a traced request.

Serve makes spans of a request, of its way to a replica and of the replica that has it, where its
tracing is on. Calls that travel together are one request there, so each has a span of its own here,
whose parent is the request's span in the ingress.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from deployments.metrics.stage_recorder import StageRecorder
from deployments.seam.call_context import ContextualCall
from deployments.seam.problems import Problem
from deployments.seam.timings import Stage

TRACER = "prsm-serve"
NANOSECONDS = 1_000_000_000


class CallSpan:
    """The span of a call that runs while the block does; made with its stages when it has ended.

    ``name`` is that of the method, and ``recorder`` has recorded the call from its beginning.
    """

    def __init__(self, call: ContextualCall, name: str, recorder: StageRecorder) -> None:
        self._call = call
        self._name = name
        self._recorder = recorder
        self._problem: Problem | None = None
        self._began = time.time_ns()

    def answered(self, item: object) -> None:
        """The call's answer, or an item of its stream: a problem is the span's error."""
        if isinstance(item, Problem):
            self._problem = item

    def __enter__(self) -> CallSpan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        timing = self._recorder.timing()
        tracer = trace.get_tracer(TRACER)
        carrier = {"traceparent": self._call.context.traceparent}
        span = tracer.start_span(
            f"call {self._name}",
            TraceContextTextMapPropagator().extract(carrier, Context()),
            attributes={"gen_ai.request.model": self._call.model} if self._call.model else None,
            start_time=self._began,
        )
        within = trace.set_span_in_context(span, Context())
        for stage in timing.stages:
            self._add(tracer, within, stage)
        if kind is not None and issubclass(kind, GeneratorExit | asyncio.CancelledError):
            span.set_attribute("prsm.cancelled", True)
        elif kind is not None:
            span.set_status(Status(StatusCode.ERROR, kind.__name__))
        elif self._problem is not None:
            span.set_status(Status(StatusCode.ERROR, self._problem.kind))
        span.end(self._began + int(timing.seconds * NANOSECONDS))

    def _add(self, tracer: trace.Tracer, within: Context, stage: Stage) -> None:
        began = self._began + int(stage.began * NANOSECONDS)
        counts = {"prsm.items": stage.items, "prsm.requests": stage.requests}
        span = tracer.start_span(
            stage.name,
            within,
            attributes={name: count for name, count in counts.items() if count},
            start_time=began,
        )
        span.end(began + int(stage.seconds * NANOSECONDS))
