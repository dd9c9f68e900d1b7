"""Traces need a package only where they are on, and where they go to our exporter."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from ray._common.utils import import_attr

from deployments.metrics.span_export import otlp
from serve_app.launcher.tracing import EXPORTER, OTLP, OTLP_MODULE, TracingError, require_exporter


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp", None)


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize("path", [OTLP, OTLP.replace(":", ".")])
def test_a_package_that_is_missing_is_named(path: str) -> None:
    assert import_attr(path) is otlp
    with pytest.raises(TracingError, match="opentelemetry-exporter-otlp-proto-http"):
        require_exporter({EXPORTER: path})


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize("environment", [{}, {EXPORTER: ""}, {EXPORTER: "somebody.elses:spans"}])
def test_nobody_needs_it_where_it_is_not_used(environment: dict[str, str]) -> None:
    require_exporter(environment)


def test_it_is_found_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = OTLP_MODULE.split(".")
    for end in range(3, len(parts) + 1):
        name = ".".join(parts[:end])
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    require_exporter({EXPORTER: OTLP})
