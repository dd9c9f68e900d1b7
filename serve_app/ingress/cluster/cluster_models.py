"""Loads and unloads a model on every replica of its family, and reports which replicas have it.

An order is stored before replicas are notified, so that a replica that starts meanwhile
applies it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray.exceptions import RayError

from deployments.seam.orders import Orders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ModelStatus, ReplicaReport, UnloadResult
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.report_cache import ReportCache
from serve_app.ingress.errors import ServiceError, Unavailable, from_problem
from serve_app.ingress.model_card import ModelCard

REPORT_TIMEOUT_S = 3.0
"""The time limit for the reports of replicas, which answer at once unless they hang."""

FRESH_S = 1.0
"""The maximal age of a report shown to clients."""

STORE_TIMEOUT_S = 10.0
"""The time limit for storing an order, which is slow only while the cluster's head is away."""

GRACE_S = 5.0
"""How long after an order's time limit a replica may still answer that it missed it."""


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """The reports of the replicas that answered, and the families of those that did not."""

    reports: tuple[ReplicaReport, ...]
    unanswered: tuple[str, ...]

    def of(self, model: str) -> list[tuple[ReplicaReport, ModelStatus]]:
        """Every replica that has ``model`` or is loading it, with the model's status there."""
        pairs = ((report, status) for report in self.reports for status in report.models)
        return [(report, status) for report, status in pairs if status.model == model]

    def loaded(self, model: str) -> list[tuple[ReplicaReport, ModelStatus]]:
        """Every replica that has ``model`` in memory."""
        return [(report, status) for report, status in self.of(model) if status.stage == "warm"]


class ClusterModels:
    """The models in the memory of all replicas."""

    def __init__(self, client: DeploymentClient, orders: Orders, report_cache: ReportCache) -> None:
        self._client = client
        self._orders = orders
        self._cache = report_cache

    async def load(
        self, card: ModelCard, timeout_s: float
    ) -> list[tuple[ReplicaReport, ModelStatus]]:
        """Load a model on every replica of its family, and return the replicas that have it.

        The model is not evicted then. For a family that is scaled to zero a replica is started.
        Raises :class:`ServiceError` when a replica could not load it; if no replica has it then,
        the order is withdrawn, so that replicas do not try it for ever.
        """
        await self._store(card, loaded=True)
        order = ModelOrder(card.name, timeout_s)
        try:
            answers = await self._client.broadcast(
                card.family, "load_model", order, timeout_s + GRACE_S
            )
            if not answers:
                started = self._client.call(
                    card.family, "load_model", order, timeout_s=timeout_s + GRACE_S
                )
                answers = [await started]
            reports = _successes(answers)
        except Unavailable:
            if not await self._is_loaded(card):
                await asyncio.to_thread(self._orders.withdraw, card.name)
            raise
        finally:
            self._cache.forget(card.family)
        return ClusterReport(tuple(reports), ()).of(card.name)

    async def unload(self, card: ModelCard, timeout_s: float) -> list[UnloadResult]:
        """Unload a model from every replica, and return what each replica freed.

        A pinned model is unloaded too, until an order or a request loads it again. No replica is
        started. A model that no replica has counts as unloaded. Raises :class:`ServiceError` when a
        replica still uses it.
        """
        if not card.live:  # a live one is not in the store any more: replicas do not know it
            await self._store(card, loaded=False)
        order = ModelOrder(card.name, timeout_s)
        try:
            answers = await self._client.broadcast(
                card.family, "unload_model", order, timeout_s + GRACE_S
            )
        finally:
            self._cache.forget(card.family)
        return _successes(answers)

    async def report(self, families: Iterable[str], max_age_s: float) -> ClusterReport:
        """The loaded models of the replicas of ``families``. No replica is started.

        The report is at most ``max_age_s`` old, and never older than the last order given here.
        """
        names = list(dict.fromkeys(families))
        found = await asyncio.gather(
            *(self._cache.latest(name, partial(self._fetch, name), max_age_s) for name in names)
        )
        reports: list[ReplicaReport] = []
        silent: list[str] = []
        for name, answers in zip(names, found, strict=True):
            for answer in answers:
                if isinstance(answer, ReplicaReport):
                    reports.append(answer)
                else:
                    silent.append(name)
        return ClusterReport(tuple(reports), tuple(silent))

    async def _fetch(self, family: str) -> list[Any]:
        return await self._client.broadcast(family, "loaded_models", None, REPORT_TIMEOUT_S)

    async def _is_loaded(self, card: ModelCard) -> bool:
        self._cache.forget(card.family)
        return bool((await self.report([card.family], 0.0)).loaded(card.name))

    async def _store(self, card: ModelCard, *, loaded: bool) -> None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await asyncio.to_thread(self._orders.give, card.name, loaded=loaded)
        except (RayError, TimeoutError):
            raise Unavailable("The cluster cannot take orders right now.") from None


def _successes(answers: list[Any]) -> list[Any]:
    """The answers, when every replica gave one."""
    for answer in answers:
        if isinstance(answer, Problem):
            raise from_problem(answer)
        if isinstance(answer, ServiceError):
            raise answer
    return answers
