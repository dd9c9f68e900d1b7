"""The thread in which a replica loads and unloads its models, measuring what each takes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from configs.profile import ModelSpec
from deployments.metrics.meter import ModelEvent
from deployments.models.load_attempt import attempt
from deployments.models.loaded_model import LoadedModel
from deployments.models.loader import ModelLoader
from deployments.models.memory import GIB, give_back, memory_use

logger = logging.getLogger(__name__)

M = TypeVar("M")


class LoadThread(Generic[M]):
    """Loads and unloads one model at a time, so that memory can be attributed to a model.

    ``record`` is called with each load and unload. ``clock`` counts seconds.
    """

    def __init__(
        self,
        loader: ModelLoader[M],
        record: Callable[[ModelEvent, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader = loader
        self._record = record
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    async def load_now(self, spec: ModelSpec) -> LoadedModel[M]:
        """Load in the thread. Raises whatever loading raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._load, spec)

    async def load(self, spec: ModelSpec) -> LoadedModel[M]:
        """Load in the thread. Raises :class:`ModelUnavailable`."""
        return await attempt(self._thread, spec, self._load)

    async def unload(self, loaded: LoadedModel[M]) -> int:
        """Unload a model that no request uses; by how many bytes memory fell."""
        loop = asyncio.get_running_loop()
        freed = await loop.run_in_executor(self._thread, self._unloaded, loaded)
        self._record("unload", loaded.spec.name)
        return freed

    def _load(self, spec: ModelSpec) -> LoadedModel[M]:
        self._loader.prepare(spec)
        give_back()
        before, started = memory_use(), self._clock()
        model = self._loader.load(spec)
        give_back()
        memory, seconds = memory_use() - before, self._clock() - started
        process, engine = self._loader.process_id(model), self._loader.engine_name(spec, model)
        loaded = LoadedModel(spec, model, memory, seconds, process, engine, clock=self._clock)
        loaded.kv_cache_bytes = self._loader.kv_cache_bytes(spec, model)
        loaded.dtype_choice = self._loader.dtype_choice(spec)
        loaded.slots = self._loader.slots(model)
        self._record("load", spec.name)
        logger.info("loaded %s in %.1f s, %.2f GiB", spec.name, seconds, loaded.host_bytes / GIB)
        return loaded

    def _unloaded(self, loaded: LoadedModel[M]) -> int:
        of_own_process = loaded.host_bytes - loaded.memory.host
        before = memory_use()
        model = loaded.model
        del loaded.model  # other references to the entry must not keep the model in memory
        self._loader.unload(model)
        del model
        give_back()
        freed = before - memory_use()
        return of_own_process + freed.host + freed.gpu
