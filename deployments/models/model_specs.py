"""The models that one replica may load: those of the profile, and live ones of its family."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from ray.exceptions import RayError

from configs.allow import AllowList
from configs.live_models import LiveModel
from configs.profile import ModelSpec
from deployments.models.errors import ModelGone
from deployments.seam.live_models import LiveModelStore, OwnLiveModels


class ModelSpecs:
    """Specs by name. Live ones are read from the store when they are asked for, and kept until
    they are forgotten; only those of ``family`` that ``allowed`` still allows.
    """

    def __init__(
        self,
        profile: Sequence[ModelSpec],
        family: str = "",
        store: LiveModelStore | None = None,
        allowed: AllowList | None = None,
    ) -> None:
        self.profile = {spec.name: spec for spec in profile}
        self._family = family
        self._store = store or OwnLiveModels()
        self._allowed = allowed or AllowList()
        self._live: dict[str, LiveModel] = {}
        self._stored: dict[str, ModelSpec] = {}
        self._version: bytes | None = None

    @property
    def names(self) -> Collection[str]:
        """Every model that is known here."""
        return self.profile.keys() | self._live.keys()

    async def find(self, name: str) -> ModelSpec:
        """The spec of ``name``. Raises :class:`ModelGone`."""
        if (spec := self.profile.get(name)) is not None:
            return spec
        if (live := self._live.get(name)) is not None:
            return live.spec
        try:
            found = await asyncio.to_thread(self._store.get, name) if self._allowed else None
        except RayError:
            raise ModelGone(name) from None
        if found is None or not self._is_served(found):
            raise ModelGone(name)
        self._live[name] = found
        return found.spec

    def forget(self, name: str) -> None:
        """Forget a live model, until it is found in the store again."""
        self._live.pop(name, None)

    def stored(self) -> dict[str, ModelSpec]:
        """The specs of all models in the profile and in the store. Blocks, raises ``RayError``.

        The models of the store are read only if it has changed. Its version is read first: if it
        changes meanwhile, the next call reads again.
        """
        if self._allowed and (version := self._store.version()) != self._version:
            live = self._store.all()
            served = {name: each.spec for name, each in live.items() if self._is_served(each)}
            self._stored, self._version = served, version
        return self._stored | self.profile

    def changed(self) -> list[str]:
        """The live models that are known here, and were removed from the store or replaced there.

        Blocks, raises ``RayError``.
        """
        if not self._live:
            return []
        stored = self.stored()
        return [name for name, live in self._live.items() if stored.get(name) != live.spec]

    def _is_served(self, model: LiveModel) -> bool:
        return model.family == self._family and model.is_allowed(self._allowed)
