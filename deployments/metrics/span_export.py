"""Where spans go: what ``RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH`` may name beside Serve's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor


def otlp() -> list[SpanProcessor]:
    """Send spans to a collector by OTLP over HTTP, in batches and in a thread of its own.

    OpenTelemetry's own variables say where (``OTEL_EXPORTER_OTLP_ENDPOINT``) and under which name
    (``OTEL_SERVICE_NAME``). Serve calls this in each of its processes.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return [BatchSpanProcessor(OTLPSpanExporter())]
