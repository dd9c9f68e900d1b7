"""What loading each model took the last time in this replica."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from configs.profile import ModelSpec
from deployments.models.loaded_model import LoadedModel

MAX_MODELS = 1024


@dataclass(frozen=True, slots=True)
class PastLoad:
    """How long the last load of a model took, in seconds, and the bytes of memory that it took,
    with a full KV cache. A model that replaces it has the same name, and another ``spec``.

    ``loaded_at`` is when the load ended, in seconds of the model's clock.
    """

    spec: ModelSpec
    seconds: float
    nbytes: int
    loaded_at: float


class PastLoads:
    """The last loads of at most ``MAX_MODELS`` models, those that were loaded last."""

    def __init__(self) -> None:
        self._loads: OrderedDict[str, PastLoad] = OrderedDict()

    def note(self, loaded: LoadedModel[Any], nbytes: int) -> None:
        name = loaded.spec.name
        self._loads[name] = PastLoad(loaded.spec, loaded.seconds, nbytes, loaded.loaded_at)
        self._loads.move_to_end(name)
        if len(self._loads) > MAX_MODELS:
            self._loads.popitem(last=False)

    def nbytes(self, spec: ModelSpec, since: float = -math.inf) -> int:
        """The bytes that the model took, 0 if it was not loaded before, or not ``since`` then."""
        load = self._of(spec)
        return 0 if load is None or load.loaded_at < since else load.nbytes

    def seconds(self, spec: ModelSpec) -> float | None:
        """How long the last load took; ``None`` if the model was not loaded before."""
        return None if (load := self._of(spec)) is None else load.seconds

    def _of(self, spec: ModelSpec) -> PastLoad | None:
        load = self._loads.get(spec.name)
        return load if load is not None and load.spec == spec else None
