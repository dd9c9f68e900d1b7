"""The models that were loaded by name, kept in the cluster for every process that serves them.

They are in the key-value store of Ray's GCS, beside the orders (:mod:`deployments.seam.orders`).
Processes keep what they read, and read again when the store's version has changed.
"""

from __future__ import annotations

import uuid
from typing import Protocol

import ray
from ray import serve
from ray.experimental import internal_kv

from configs.live_models import LiveModel
from deployments.seam.orders import NAMESPACE


class LiveModelStore(Protocol):
    """Live models by name. Calls block for a moment; they raise ``RayError`` when the cluster's
    head is away."""

    def version(self) -> bytes:
        """A value that every change replaces."""
        ...

    def all(self) -> dict[str, LiveModel]: ...

    def get(self, name: str) -> LiveModel | None: ...

    def put(self, model: LiveModel) -> None: ...

    def remove(self, name: str) -> None: ...


class ClusterLiveModels:
    """The live models of one application."""

    def __init__(self, application: str) -> None:
        self._prefix = f"models/{application}/".encode()
        self._version = f"models-version/{application}".encode()

    def version(self) -> bytes:
        return internal_kv._internal_kv_get(self._version, namespace=NAMESPACE) or b""

    def all(self) -> dict[str, LiveModel]:
        found: dict[str, LiveModel] = {}
        for key in internal_kv._internal_kv_list(self._prefix, namespace=NAMESPACE):
            name = key.removeprefix(self._prefix).decode()
            if (model := self.get(name)) is not None:
                found[name] = model
        return found

    def get(self, name: str) -> LiveModel | None:
        text = internal_kv._internal_kv_get(self._key(name), namespace=NAMESPACE)
        return None if text is None else LiveModel.from_json(text)

    def put(self, model: LiveModel) -> None:
        key, text = self._key(model.spec.name), model.to_json()
        internal_kv._internal_kv_put(key, text, overwrite=True, namespace=NAMESPACE)
        self._changed()

    def remove(self, name: str) -> None:
        internal_kv._internal_kv_del(self._key(name), namespace=NAMESPACE)
        self._changed()

    def _changed(self) -> None:
        value = uuid.uuid4().bytes
        internal_kv._internal_kv_put(self._version, value, overwrite=True, namespace=NAMESPACE)

    def _key(self, name: str) -> bytes:
        return self._prefix + name.encode()


class OwnLiveModels:
    """Live models of one process, where there is no cluster."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}
        self._changes = 0

    def version(self) -> bytes:
        return str(self._changes).encode()

    def all(self) -> dict[str, LiveModel]:
        found = {name: LiveModel.from_json(text) for name, text in self._texts.items()}
        return {name: model for name, model in found.items() if model is not None}

    def get(self, name: str) -> LiveModel | None:
        return self.all().get(name)

    def put(self, model: LiveModel) -> None:
        self._texts[model.spec.name] = model.to_json()
        self._changes += 1

    def remove(self, name: str) -> None:
        self._texts.pop(name, None)
        self._changes += 1


def live_models_here() -> LiveModelStore:
    """Those of the application that this replica belongs to; without Ray, of this process."""
    if not ray.is_initialized():
        return OwnLiveModels()
    return ClusterLiveModels(serve.get_replica_context().app_name)
