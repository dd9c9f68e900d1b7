"""Inspects models that are asked for by name, for the ingress, which may not see their files."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from configs.detection import (
    DetectedModel,
    Inspection,
    ModelNotThereError,
    ModelRefusedError,
    inspect_model,
)
from configs.weights import WeightsError
from deployments.seam.problems import Problem

MAX_THREADS = 4


class ModelInspector:
    """Inspects models in threads of its own: other work does not wait for a file system that hangs.

    Inspections beyond ``MAX_THREADS`` wait.
    """

    def __init__(self, cache_dir: Path, token: str | None) -> None:
        self._cache_dir = cache_dir
        self._token = token
        self._threads = ThreadPoolExecutor(MAX_THREADS, "inspect")

    async def inspect(self, request: Inspection) -> DetectedModel | Problem:
        """What the model is, or why it cannot be served."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._threads, inspect_model, request, self._cache_dir, self._token
            )
        except ModelNotThereError:
            return Problem("not_found", "There is no such model.")
        except ModelRefusedError as error:
            return Problem("validation", str(error))
        except WeightsError as error:
            return Problem("unavailable", str(error))
