"""A call of a traced request has a span with its stages; others have none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from deployments.metrics.stage_recorder import recorder_here
from deployments.models.call_receiver import CallReceiver
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.problems import Problem
from deployments.seam.timings import TimedResult
from deployments.seam.tokenization import DetokenizeRequest

TRACE, PARENT = "ab" * 16, "cd" * 8
SAMPLED = f"00-{TRACE}-{PARENT}-01"
REQUEST = DetokenizeRequest("one", (1,))

Spans = Callable[[], dict[str, ReadableSpan]]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return lambda: {span.name: span for span in exporter.get_finished_spans()}


class Working(CallReceiver):
    """Has a forward of a tenth of a second in each call, shared with another request."""

    async def work(self, request: DetokenizeRequest) -> str:
        self._forward()
        return "done"

    async def refuse(self, request: DetokenizeRequest) -> Problem:
        return Problem("validation", "no")

    async def fail(self, request: DetokenizeRequest) -> None:
        raise LookupError

    async def stream(self, request: DetokenizeRequest) -> AsyncGenerator[str, None]:
        self._forward()
        for item in ("a", "b"):
            yield item

    def _forward(self) -> None:
        recorder, now = recorder_here(), time.monotonic()
        if recorder is not None:
            recorder.add("forward", now, now + 0.1, items=5, requests=2)


def call(traceparent: str = SAMPLED, *, timed: bool = False) -> Any:
    return ContextualCall(REQUEST, CallContext(traceparent=traceparent), timed)


async def test_a_span_has_the_request_as_its_parent_and_the_stages_below(spans: Spans) -> None:
    assert await asyncio.create_task(Working().work(call())) == "done"
    whole, forward = spans()["call work"], spans()["forward"]
    assert whole.parent is not None
    assert whole.context is not None
    assert forward.parent == whole.context
    assert f"{whole.parent.span_id:016x}" == PARENT
    assert f"{whole.parent.trace_id:032x}" == f"{whole.context.trace_id:032x}" == TRACE
    assert dict(whole.attributes or {}) == {"gen_ai.request.model": "one"}
    assert dict(forward.attributes or {}) == {"prsm.items": 5, "prsm.requests": 2}
    assert (forward.end_time or 0) - (forward.start_time or 0) == pytest.approx(1e8, rel=1e-3)
    assert (whole.start_time or 0) <= (forward.start_time or 0)


async def test_a_timed_call_is_answered_with_its_timing_and_has_a_span_too(spans: Spans) -> None:
    answer = await asyncio.create_task(Working().work(call(timed=True)))
    assert isinstance(answer, TimedResult)
    assert set(spans()) == {"call work", "forward"}


async def test_a_stream_has_a_span_when_it_has_ended_or_was_left(spans: Spans) -> None:
    async def read(items: int) -> list[str]:
        read, stream = list[str](), Working().stream(call())
        async for item in stream:
            read.append(item)
            if len(read) == items:
                break
        await stream.aclose()
        return read

    assert await asyncio.create_task(read(9)) == ["a", "b"]
    assert "prsm.cancelled" not in (spans()["call stream"].attributes or {})
    assert await asyncio.create_task(read(1)) == ["a"]
    assert (spans()["call stream"].attributes or {})["prsm.cancelled"] is True


async def test_problems_and_failures_are_errors_of_the_span(spans: Spans) -> None:
    await asyncio.create_task(Working().refuse(call()))
    with pytest.raises(LookupError):
        await asyncio.create_task(Working().fail(call()))
    statuses = [spans()[f"call {name}"].status for name in ("refuse", "fail")]
    assert [each.status_code for each in statuses] == [StatusCode.ERROR] * 2
    assert [each.description for each in statuses] == ["validation", "LookupError"]


async def test_a_call_of_a_request_that_is_not_traced_has_no_span(spans: Spans) -> None:
    assert await asyncio.create_task(Working().work(call(""))) == "done"
    assert spans() == {}
