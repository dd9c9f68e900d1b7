"""Spans go to a collector in batches, where the package for that is installed."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from ray._common.utils import import_attr

from deployments.metrics import span_export

PACKAGE = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def test_spans_are_sent_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = InMemorySpanExporter()
    package = ModuleType(PACKAGE)
    package.OTLPSpanExporter = lambda: sent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, PACKAGE, package)
    (processor,) = span_export.otlp()
    provider = TracerProvider()
    provider.add_span_processor(processor)
    provider.get_tracer("test").start_span("one").end()
    assert processor.force_flush()
    assert [span.name for span in sent.get_finished_spans()] == ["one"]
    provider.shutdown()


def test_serve_finds_it_under_the_name_of_the_docs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(ImportError):
        import_attr("deployments.metrics.span_export:otlp")()
