"""A stand-in for the inside of a replica whose deployment Serve scales."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


def in_scaled_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the code believe that it runs in a replica of the deployment ``Family``."""
    context = SimpleNamespace(app_name="prsm", deployment="Family")
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: context)
