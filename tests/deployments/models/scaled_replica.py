"""A stand-in for the inside of a replica whose deployment Serve scales."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.serve.config import AutoscalingConfig

from configs.scaling import POLICY_CLASS


def in_scaled_replica(monkeypatch: pytest.MonkeyPatch, policy: str | None = POLICY_CLASS) -> None:
    """Have the code believe that it runs in a replica of the deployment ``Family``.

    ``policy`` scales it; with ``None`` its number of replicas is fixed.
    """
    scaling = policy and AutoscalingConfig.model_validate({"policy": {"policy_function": policy}})
    options = SimpleNamespace(autoscaling_config=scaling)
    context = SimpleNamespace(app_name="prsm", deployment="Family", _deployment_config=options)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: context)
