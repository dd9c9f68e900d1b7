"""Inspections have threads of their own."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from configs.detection import DetectedModel, Inspection
from configs.weights import FolderSource
from deployments.models import inspection
from deployments.models.inspection import MAX_THREADS, ModelInspector
from tests.serve_app.local_handle import PATIENCE_S

FOUND = DetectedModel("BertModel", (), "safetensors", 1)


async def test_inspections_that_hang_take_no_thread_of_other_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang(*_: object) -> DetectedModel:
        release.wait(PATIENCE_S)
        return FOUND

    monkeypatch.setattr(inspection, "inspect_model", hang)
    request = Inspection(FolderSource(folder=tmp_path / "model"), tmp_path, 1.0)
    inspector = ModelInspector(tmp_path, None)
    most = min(32, (os.cpu_count() or 1) + 4)  # the threads of asyncio.to_thread
    running = [
        asyncio.ensure_future(inspector.inspect(request)) for _ in range(max(most, MAX_THREADS) + 1)
    ]
    await asyncio.sleep(0)  # all have begun
    await asyncio.wait_for(asyncio.to_thread(release.set), PATIENCE_S / 2)
    assert await asyncio.gather(*running) == [FOUND] * len(running)
