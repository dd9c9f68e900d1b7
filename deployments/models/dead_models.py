"""Models that died while they were loaded: they leave the cache, and pinned ones come back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from deployments.models.backoff import Backoff
from deployments.models.cached_models import CachedModels
from deployments.models.crashes import MAX_ATTEMPTS, REASON, CrashCounter, ModelLost
from deployments.models.load_thread import LoadThread
from deployments.models.loaded_model import LoadedModel
from deployments.models.loader import ModelLoader

logger = logging.getLogger(__name__)

M = TypeVar("M")


class DeadModels(Generic[M]):
    """Finds and removes models that died; what is left of one is freed ``in_background``.

    A model that died for the first time may be loaded again at once, after that with ``backoff``.
    """

    def __init__(
        self,
        models: CachedModels[M],
        loader: ModelLoader[M],
        thread: LoadThread[M],
        backoff: Backoff,
        in_background: Callable[[Coroutine[Any, Any, object]], object],
    ) -> None:
        self._models = models
        self._loader = loader
        self._thread = thread
        self._backoff = backoff
        self._in_background = in_background
        self._crashes = CrashCounter()

    def remove(self, loaded: LoadedModel[M]) -> bool:
        """Treat ``loaded`` as not loaded if it died; whether it did."""
        if not self._loader.is_dead(loaded.model):
            return False
        name = loaded.spec.name
        del self._models.loaded[name]
        times = self._crashes.count(name)
        logger.error("%s died, for the %d. time lately", name, times)
        if times > 1:
            self._backoff.failed(name, REASON, times - 1)
        self._in_background(self._thread.unload(loaded))
        return True

    def to_reload(self) -> list[str]:
        """Remove all that died; the pinned models that died and may be loaded again now.

        Raises :class:`ModelLost` when one died, or failed to load after that, too often.
        """
        for loaded in list(self._models.loaded.values()):
            self.remove(loaded)
        self._crashes.missing -= self._models.loaded.keys()
        missing = (self._crashes.missing & self._models.pinned) - self._models.unloading
        for name in missing:
            if max(self._crashes.times(name), self._backoff.times(name) + 1) >= MAX_ATTEMPTS:
                raise ModelLost(name)
        return [name for name in missing if self._backoff.reason(name) is None]

    def forget(self, name: str) -> None:
        """Do not load the model ``name`` again: an order unloaded it."""
        self._crashes.missing.discard(name)
