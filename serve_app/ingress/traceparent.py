"""Names the span of a request for the calls that it makes (W3C Trace Context)."""

from __future__ import annotations

from opentelemetry import trace


def traceparent_here() -> str:
    """The ``traceparent`` of Serve's span in which this runs; empty where it is not sampled.

    So it is empty wherever tracing is off (https://www.w3.org/TR/trace-context/#traceparent-header).
    """
    span = trace.get_current_span().get_span_context()
    if not span.trace_flags.sampled:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-01"
