"""Opens an engine by its kind: ``openvino`` or ``torch``. Imports only that one.

To add a kind, write a module with a function like those two, and call it here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from deployments.engine.interface import Engine
from deployments.engine.settings import EngineSettings

EngineKind: TypeAlias = Literal["openvino", "torch"]


def open_engine(
    kind: EngineKind, folder: Path | str, settings: EngineSettings | None = None
) -> Engine:
    """Load the model in ``folder`` and start its engine; takes seconds.

    Raises ``EngineNotLoaded`` when the folder cannot be served, ``FileNotFoundError`` when there
    is none.
    """
    given = settings or EngineSettings()
    if kind == "openvino":
        from deployments.engine.openvino.runner import open_openvino_engine

        return open_openvino_engine(folder, given)
    if given.own_process:
        from deployments.engine.own_process.client import open_engine_process

        return open_engine_process(folder, given)
    from deployments.engine.torch_engine import open_torch_engine

    return open_torch_engine(folder, given)
