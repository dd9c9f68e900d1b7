"""The process of OpenVINO GenAI is ended if it hangs while it loads its model."""

from __future__ import annotations

import pytest

from deployments.engine.interface import EngineNotLoaded
from deployments.engine.openvino import client
from deployments.engine.openvino.client import GenaiProcess
from deployments.engine.openvino.messages import Launch
from tests.deployments.engine.silent_process import SilentProcess


def test_a_process_that_never_has_its_model_loaded_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = SilentProcess()
    monkeypatch.setattr(client, "ChildProcess", lambda module: silent)
    with pytest.raises(EngineNotLoaded, match="said nothing"):
        GenaiProcess.started(Launch("folder", {}, 1, 1, 1), load_timeout_s=0.01)
    assert silent.is_closed
