"""Downloads of models' files to this node."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from configs.profile import ModelSpec
from deployments.models.load_attempt import attempt
from deployments.models.loader import ModelLoader
from deployments.models.memory_budget import min_bytes
from deployments.models.shared_tasks import SharedTasks

LIVE_MODELS = 8
"""How many models that the profile does not name are downloaded at the same time."""


class Downloads:
    """Downloads the files of each model once for all callers.

    There is a thread for each of the profile's ``models``, and some for those that are loaded by
    name, so that a download that takes minutes delays no other. A download goes on when all callers
    are cancelled, since a thread cannot be stopped; a later caller joins it.
    """

    def __init__(self, loader: ModelLoader[Any], models: int) -> None:
        self._loader = loader
        self._threads = ThreadPoolExecutor(models + LIVE_MODELS, thread_name_prefix="fetch")
        self._running = SharedTasks[int]()

    async def now(self, spec: ModelSpec) -> None:
        """Download the model's files. Raises whatever downloading raises."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._min_bytes, spec)

    async def min_bytes(self, spec: ModelSpec) -> int:
        """Download the model's files; the fewest bytes that its weights may take in memory.

        Raises :class:`ModelUnavailable`.
        """
        work = partial(attempt, self._threads, spec, self._min_bytes)
        return await asyncio.shield(self._running.start(spec.name, work))

    def _min_bytes(self, spec: ModelSpec) -> int:
        folder = self._loader.fetch(spec)
        return min_bytes(folder, spec, in_half=self._loader.computes_in_half(spec))
