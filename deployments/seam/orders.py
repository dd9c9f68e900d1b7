"""Orders to load and unload models, kept in the cluster for replicas that start later.

They are in the key-value store of Ray's GCS, where Serve's controller keeps its own checkpoints.
They outlive every replica, and end with the cluster, as the application does. Reading them starts
no replica.
"""

from __future__ import annotations

import uuid
from typing import Protocol

import ray
from ray import serve
from ray.experimental import internal_kv

NAMESPACE = b"prsm-serve"


class Orders(Protocol):
    """The last order for each model that one was given for. Calls block for a moment."""

    def version(self) -> bytes:
        """A value that every change replaces: reading it is cheaper than reading all orders."""
        ...

    def all(self) -> dict[str, bool]:
        """Whether each model is to be loaded (``True``) or not."""
        ...

    def give(self, model: str, *, loaded: bool) -> None: ...

    def withdraw(self, model: str) -> None:
        """Forget the last order for ``model``."""
        ...


class ClusterOrders:
    """The orders of one application. Raises ``RayError`` when the cluster's head is away."""

    def __init__(self, application: str) -> None:
        self._prefix = f"orders/{application}/".encode()
        self._version = f"orders-version/{application}".encode()

    def version(self) -> bytes:
        return internal_kv._internal_kv_get(self._version, namespace=NAMESPACE) or b""

    def all(self) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for key in internal_kv._internal_kv_list(self._prefix, namespace=NAMESPACE):
            value = internal_kv._internal_kv_get(key, namespace=NAMESPACE)
            if value is not None:
                found[key.removeprefix(self._prefix).decode()] = value == b"load"
        return found

    def give(self, model: str, *, loaded: bool) -> None:
        value = b"load" if loaded else b"unload"
        internal_kv._internal_kv_put(self._key(model), value, overwrite=True, namespace=NAMESPACE)
        self._changed()

    def withdraw(self, model: str) -> None:
        internal_kv._internal_kv_del(self._key(model), namespace=NAMESPACE)
        self._changed()

    def _changed(self) -> None:
        value = uuid.uuid4().bytes
        internal_kv._internal_kv_put(self._version, value, overwrite=True, namespace=NAMESPACE)

    def _key(self, model: str) -> bytes:
        return self._prefix + model.encode()


class OwnOrders:
    """Orders of one process, where there is no cluster."""

    def __init__(self) -> None:
        self._orders: dict[str, bool] = {}
        self._changes = 0

    def version(self) -> bytes:
        return str(self._changes).encode()

    def all(self) -> dict[str, bool]:
        return dict(self._orders)

    def give(self, model: str, *, loaded: bool) -> None:
        self._orders[model] = loaded
        self._changes += 1

    def withdraw(self, model: str) -> None:
        self._orders.pop(model, None)
        self._changes += 1


def orders_here() -> Orders:
    """The orders of the application that this replica belongs to; without Ray, of this process."""
    if not ray.is_initialized():
        return OwnOrders()
    return ClusterOrders(serve.get_replica_context().app_name)
