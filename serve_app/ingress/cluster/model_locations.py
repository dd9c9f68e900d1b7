"""Which replicas of a family hold which model, as far as one router knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Generic, TypeVar

R = TypeVar("R", bound=Hashable)

EXPECTED_S = 30.0
"""How long a replica that got a request for a model counts as loading it, until it reports."""

MAX_EXPECTED = 1024
"""Of such expectations; the oldest are forgotten first."""

NOWHERE: frozenset[Any] = frozenset()


class ModelLocations(Generic[R]):
    """The replicas that have a model in memory, and those that are loading it.

    Replicas report their models every few seconds (``record_routing_stats``). Before its first
    report a replica counts as holding its pinned models (``record_replica_metadata``). A replica
    to which a request for another model was just sent counts as loading that, so that the next
    requests follow it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._loaded: dict[str, set[R]] = {}
        self._loading: dict[str, set[R]] = {}
        self._expected: dict[tuple[str, R], float] = {}

    def update(
        self, reports: Mapping[R, Mapping[str, Any]], pinned: Mapping[R, Collection[str]]
    ) -> None:
        """Take the latest routing stats of every replica, empty before the first.

        What is known of other replicas is forgotten.
        """
        self._loaded, self._loading = {}, {}
        for replica, report in reports.items():
            stages = report.get("models", dict.fromkeys(pinned.get(replica, ()), "warm"))
            for model, stage in stages.items():
                if stage != "leaving":
                    where = self._loaded if stage == "warm" else self._loading
                    where.setdefault(model, set()).add(replica)
        self._expected = {key: until for key, until in self._expected.items() if key[1] in reports}

    def sent(self, model: str, replica: R) -> None:
        """A request for ``model`` was sent to ``replica``, which loads the model if need be."""
        if replica in self._loaded.get(model, NOWHERE):
            return
        self._expected.pop((model, replica), None)
        if len(self._expected) >= MAX_EXPECTED:
            del self._expected[next(iter(self._expected))]
        self._expected[model, replica] = self._clock() + EXPECTED_S

    def loaded(self, model: str) -> Collection[R]:
        """The replicas that have ``model`` in memory."""
        return self._loaded.get(model, NOWHERE)

    def loading(self, model: str) -> Collection[R]:
        """The replicas that are loading ``model``, or should be."""
        now = self._clock()
        expected = {
            replica
            for (name, replica), until in self._expected.items()
            if name == model and until > now
        }
        return (expected | self._loading.get(model, set())) - self._loaded.get(model, set())
