"""The models of a cache as its parts see them: which are loaded, and which may be evicted."""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

from deployments.models.loaded_model import LoadedModel

M = TypeVar("M")


@dataclass(frozen=True, slots=True, eq=False)
class CachedModels(Generic[M]):
    """A live view: the cache changes the three collections in place, and never replaces them.

    ``pinned`` models stay until an order unloads them. Those in ``unloading`` leave by an order as
    soon as no request uses them.
    """

    loaded: dict[str, LoadedModel[M]]
    pinned: set[str]
    unloading: Set[str]

    def evictable(self, names: Collection[str]) -> list[LoadedModel[M]]:
        """Those of the models ``names`` that may be evicted once no request uses them."""
        staying = {*self.pinned, *self.unloading}
        return [each for name, each in self.loaded.items() if name in names and name not in staying]

    def pinned_beside(self, name: str) -> list[LoadedModel[M]]:
        """The loaded models that stay, without the model ``name``."""
        return [each for other, each in self.loaded.items() if other in self.pinned - {name}]
