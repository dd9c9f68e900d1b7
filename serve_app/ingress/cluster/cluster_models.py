"""The models of the whole cluster: loaded and unloaded everywhere by one order, and where they are.

Orders are written down before the replicas hear them, so that one that starts meanwhile, or takes
the place of one that died, follows them too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray.exceptions import RayError

from deployments.models.orders import Orders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ModelStatus, ReplicaReport, UnloadResult
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.report_cache import ReportCache
from serve_app.ingress.errors import ServiceError, Unavailable, from_problem

REPORT_TIMEOUT_S = 3.0
"""How long a survey waits for replicas: they answer at once or they hang."""

FRESH_S = 1.0
"""How old a survey may be that clients are shown."""

WRITE_S = 10.0
"""How long an order may take to be written down: a moment, unless the cluster's head is away."""

GRACE_S = 5.0
"""What a replica gets to say that it could not keep to an order's time."""


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What the replicas that answered hold, and the families of those that did not."""

    reports: tuple[ReplicaReport, ...]
    unanswered: tuple[str, ...]

    def of(self, model: str) -> list[tuple[ReplicaReport, ModelStatus]]:
        """Every replica that holds ``model`` or is about to, and how."""
        pairs = ((report, holding) for report in self.reports for holding in report.models)
        return [(report, holding) for report, holding in pairs if holding.model == model]

    def loaded(self, model: str) -> list[tuple[ReplicaReport, ModelStatus]]:
        """Every replica that has ``model`` in memory."""
        return [(report, held) for report, held in self.of(model) if held.stage == "warm"]


class ClusterModels:
    """Every replica of every family."""

    def __init__(self, calls: DeploymentClient, orders: Orders, report_cache: ReportCache) -> None:
        self._calls = calls
        self._orders = orders
        self._cache = report_cache

    async def load(
        self, card: ModelCard, within_s: float
    ) -> list[tuple[ReplicaReport, ModelStatus]]:
        """Load a model on every replica of its family, to stay; where it is then.

        A family that sleeps is woken: an order to load is a wish to use. Raises
        :class:`ServiceError` when a replica could not; if the model is at fault the order is
        withdrawn, so that no replica tries it for ever.
        """
        await self._write(card, loaded=True)
        order = ModelOrder(card.name, within_s)
        try:
            answers = await self._calls.broadcast(
                card.family, "load_model", order, within_s + GRACE_S
            )
            if not answers:
                woken = self._calls.call(
                    card.family, "load_model", order, within_s=within_s + GRACE_S
                )
                answers = [await woken]
            reports = _successes(answers)
        except Unavailable:
            if not await self._is_loaded(card):
                await asyncio.to_thread(self._orders.withdraw, card.name)
            raise
        finally:
            self._cache.forget(card.family)
        return ClusterReport(tuple(reports), ()).of(card.name)

    async def unload(self, card: ModelCard, within_s: float) -> list[UnloadResult]:
        """Unload a model from every replica; what came back where.

        A pinned model goes too, and stays away until an order or a request brings it back. Nothing
        is woken, and a model that is nowhere is unloaded. Raises :class:`ServiceError` when a
        replica still uses it.
        """
        await self._write(card, loaded=False)
        order = ModelOrder(card.name, within_s)
        try:
            answers = await self._calls.broadcast(
                card.family, "unload_model", order, within_s + GRACE_S
            )
        finally:
            self._cache.forget(card.family)
        return _successes(answers)

    async def report(self, families: Iterable[str], max_age_s: float) -> ClusterReport:
        """What is where, of the families named; nothing is woken, and nobody is waited for long.

        It may be ``max_age_s`` old, but never older than the last order given here.
        """
        names = list(dict.fromkeys(families))
        found = await asyncio.gather(
            *(self._cache.latest(name, partial(self._holdings, name), max_age_s) for name in names)
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

    async def _holdings(self, family: str) -> list[Any]:
        return await self._calls.broadcast(family, "loaded_models", None, REPORT_TIMEOUT_S)

    async def _is_loaded(self, card: ModelCard) -> bool:
        self._cache.forget(card.family)
        return bool((await self.report([card.family], 0.0)).loaded(card.name))

    async def _write(self, card: ModelCard, *, loaded: bool) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
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
