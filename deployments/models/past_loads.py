"""What loading each model took the last time in this replica."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from deployments.models.loaded_model import LoadedModel

MAX_MODELS = 1024


@dataclass(frozen=True, slots=True)
class PastLoad:
    """How long the last load of a model took, in seconds, and the bytes of memory that it took,
    with a full KV cache."""

    seconds: float
    nbytes: int


class PastLoads:
    """The last loads of at most ``MAX_MODELS`` models, those that were loaded last."""

    def __init__(self) -> None:
        self._loads: OrderedDict[str, PastLoad] = OrderedDict()

    def note(self, loaded: LoadedModel[Any], nbytes: int) -> None:
        name = loaded.spec.name
        self._loads[name] = PastLoad(loaded.seconds, nbytes)
        self._loads.move_to_end(name)
        if len(self._loads) > MAX_MODELS:
            self._loads.popitem(last=False)

    def nbytes(self, name: str) -> int:
        """The bytes that the model took, 0 if it was not loaded before."""
        return self._loads[name].nbytes if name in self._loads else 0

    def seconds(self, name: str) -> float | None:
        """How long the last load took; ``None`` if the model was not loaded before."""
        return self._loads[name].seconds if name in self._loads else None
