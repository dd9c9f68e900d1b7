"""Models that are loaded by name beside those of the profile, as one replica of the ingress knows
them.

A name that the allow-list matches is inspected by a replica of a family, since the ingress may not
see the model's files. What is found becomes a card in the cluster's store
(:mod:`deployments.seam.live_models`), which all processes read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Set
from functools import partial
from typing import TypeVar

from ray.exceptions import RayError

from configs.allow import AllowedSource, AllowList
from configs.live_models import LiveModel, LiveModelError, families_for, live_model
from configs.model_names import is_model_name
from configs.profile import Profile, allow_list
from configs.settings import Settings
from deployments.seam.live_models import LiveModelStore
from deployments.seam.orders import Orders
from serve_app.ingress.cluster.cluster_models import ClusterModels
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.report_cache import ReportCache
from serve_app.ingress.errors import (
    FamilyNotAllowed,
    NotFound,
    ServiceError,
    Unavailable,
    ValidationFailed,
    check_family,
)
from serve_app.ingress.failures import RecentFailures
from serve_app.ingress.live_inspection import LiveInspection
from serve_app.ingress.live_order import LiveOrder
from serve_app.ingress.model_card import ModelCard, card_of

FRESH_S = 0.5
"""How old what was read from the store may be."""

MAX_INSPECTIONS = 4
"""How many models are inspected at the same time for requests, and how many for orders."""

MAX_LOOKUPS = 64
"""How many names may be looked up or wait for it; another is refused."""

T = TypeVar("T")


class LiveModels:
    """The cards of live models: read from the store, or made of what an inspection finds."""

    def __init__(
        self,
        profile: Profile,
        settings: Settings,
        client: DeploymentClient,
        store: LiveModelStore,
        orders: Orders,
    ) -> None:
        self.allowed: AllowList = allow_list(profile, settings)
        self._profile = profile
        self._families = {family.name: family for family in profile.families}
        self.max_models = settings.max_live_models
        self._inspection = LiveInspection(profile, client)
        self._store = store
        self._orders = orders
        self._cluster = ClusterModels(client, orders, ReportCache())
        self._models: dict[str, LiveModel] = {}
        self._cards: dict[str, ModelCard] = {}
        self._version: bytes | None = None
        self._read_at = -FRESH_S
        self._reading = asyncio.Lock()
        self._inspecting = asyncio.Semaphore(MAX_INSPECTIONS)
        self._ordering = asyncio.Semaphore(MAX_INSPECTIONS)
        self._adopting: dict[tuple[str, Set[str]], asyncio.Task[ModelCard | None]] = {}
        self._failures = RecentFailures()

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """The cards as they were last read."""
        return tuple(self._cards.values())

    async def refresh(self) -> None:
        """Read the store if what is known is too old, and if the store has changed.

        While the store cannot be read, what is known stays.
        """
        if not self.allowed or time.monotonic() - self._read_at < FRESH_S:
            return
        async with self._reading:
            if time.monotonic() - self._read_at < FRESH_S:
                return
            try:
                found = await asyncio.to_thread(self._changed)
            except RayError:
                return
            finally:
                self._read_at = time.monotonic()
            if found is not None:
                self._version, models = found
                self._models, self._cards = {}, {}
                for model in models:
                    self._know(model)

    async def find(
        self,
        name: str,
        field: str,
        families: frozenset[str] = frozenset(),
        tasks: Set[str] = frozenset(),
    ) -> ModelCard | None:
        """The card of a live model, which the allow-list may make of ``name`` now.

        A model that would be new is only added if it is of one of ``families``, and only inspected
        if it may be, and do one of ``tasks``; no ``tasks`` are all. ``None`` if it is not allowed
        or not there. Raises :class:`ServiceError` if it is there but cannot be served, or not by
        ``families``, or if too many names are being looked up.
        """
        await self.refresh()
        if (card := self._cards.get(name)) is not None:
            return card
        sources = self.allowed.sources(name)
        if not sources:
            return None
        self._check_families(sources, families, tasks)
        task = self._adopting.get((name, families))
        if task is None:
            if self._known_missing(name, field, families):
                return None
            if len(self._adopting) >= MAX_LOOKUPS:
                raise Unavailable("Too many new models are asked for right now.")
            task = asyncio.get_running_loop().create_task(
                self.adopt(name, field, families=families)
            )
            self._adopting[name, families] = task
            task.add_done_callback(partial(self._adopted, name, families))
        try:
            return await asyncio.shield(task)
        except ValidationFailed as error:  # the caller that began it may call the field otherwise
            raise ValidationFailed(error.message, field=field) from None

    async def adopt(
        self,
        name: str,
        field: str,
        order: LiveOrder | None = None,
        families: Set[str] = frozenset(),
    ) -> ModelCard | None:
        """Inspect the model and keep its card; ``None`` if it is not allowed or not there.

        Raises :class:`ServiceError` if it cannot be served, or not as an ``order`` wants it, or not
        by ``families``. Nothing has changed then.
        """
        if not is_model_name(name):  # a source of another name may be allowed
            return None
        await self.refresh()
        if (known := self._cards.get(name)) is not None:
            check_family(known.family, families)
        slots = self._inspecting if order is None else self._ordering
        options = None if order is None else order.options
        sources = (order or LiveOrder()).sources(name, self.allowed)
        task = None if options is None else options.task
        self._check_families(sources, families, frozenset() if task is None else {task})
        for allowed in sources:
            try:
                async with slots:
                    found = await self._inspection.of(allowed)
            except NotFound:
                continue
            except ValidationFailed as error:
                raise _refused(name, error.message, field) from None
            try:
                made = live_model(name, allowed, found, self._profile, options)
            except LiveModelError as error:
                raise _refused(name, str(error), error.field or field) from None
            check_family(made.family, families)
            return await self._kept(made)
        return None

    async def remove(self, name: str, families: Set[str] = frozenset()) -> ModelCard | None:
        """Forget a live model everywhere; its card, or ``None`` if there is none.

        Raises :class:`FamilyNotAllowed` for one of another family than ``families``.
        """
        self._read_at = -FRESH_S
        await self.refresh()
        card = self._cards.get(name)
        if card is not None:
            check_family(card.family, families)
            self._cards.pop(name, None)
            self._models.pop(name, None)
            await self._in_store(partial(self._store.remove, name))
            await self._in_store(partial(self._orders.withdraw, name))
        return card

    def _check_families(
        self, sources: Iterable[AllowedSource], families: Set[str], tasks: Set[str]
    ) -> None:
        """Raises :class:`FamilyNotAllowed` if a model of ``sources`` that does one of ``tasks``
        cannot be of ``families``."""
        possible = [
            each for source in sources for each in families_for(source, self._profile, tasks)
        ]
        if possible and families and families.isdisjoint(possible):
            raise FamilyNotAllowed(possible[0], families)

    def _known_missing(self, name: str, field: str, families: frozenset[str]) -> bool:
        """Whether there was no such model a moment ago. Raises why it could not be served."""
        try:
            return self._failures.known_missing(name, families)
        except ValidationFailed as error:
            raise ValidationFailed(error.message, field=field) from None

    async def _kept(self, made: LiveModel) -> ModelCard:
        """The card of ``made``, which is in the store then.

        Raises :class:`ValidationFailed` if the model is loaded otherwise now, and
        :class:`Unavailable` if there are too many.
        """
        name = made.spec.name
        known = self._models.get(name)
        if known is not None and known.spec != made.spec and await self._loaded([known]):
            message = f"The model {name} is loaded with other options: unload it first."
            raise ValidationFailed(message, field="model_name")
        if known is None or known.spec != made.spec:
            if known is None and len(self._models) >= self.max_models:
                await self._make_room()
            await self._in_store(partial(self._store.put, made))
            self._know(made)
        self._failures.forget(name)
        return self._cards[name]

    async def _make_room(self) -> None:
        """Forget the oldest live model that is not loaded and that no order keeps."""
        ordered = await self._in_store(self._orders.all)
        idle = [each for name, each in self._models.items() if name not in ordered]
        loaded = await self._loaded(idle)
        idle = [each for each in idle if each.spec.name not in loaded]
        if not idle:
            known = f"{self.max_models} models are loaded by name already"
            raise Unavailable(f"{known}: unload one of them first.", 30)
        await self.remove(min(idle, key=lambda model: model.added).spec.name)

    async def _loaded(self, models: list[LiveModel]) -> set[str]:
        """The names of those that a replica has or is loading, or may have: one did not answer."""
        found = await self._cluster.report({model.family for model in models}, 0.0)
        return {
            each.spec.name
            for each in models
            if each.family in found.unanswered or found.of(each.spec.name)
        }

    def _changed(self) -> tuple[bytes, list[LiveModel]] | None:
        """The store's version and its models that are served here, unless they are known.

        The version is read first: if it changes meanwhile, the next call reads again.
        """
        version = self._store.version()
        if version == self._version:
            return None
        models = self._store.all().values()
        served = (model for model in models if model.family in self._families)
        return version, [model for model in served if model.is_allowed(self.allowed)]

    def _know(self, model: LiveModel) -> None:
        name = model.spec.name
        self._models[name] = model
        self._cards[name] = card_of(self._families[model.family], model.spec, live=True)

    def _adopted(
        self, name: str, families: frozenset[str], task: asyncio.Task[ModelCard | None]
    ) -> None:
        del self._adopting[name, families]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ServiceError):
            self._failures.note(name, error, families)
        elif not task.cancelled() and error is None and task.result() is None:
            self._failures.note(name, None, families)

    async def _in_store(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except RayError:
            raise Unavailable("The cluster's store cannot be reached right now.") from None


def _refused(name: str, why: str, field: str) -> ValidationFailed:
    return ValidationFailed(f"The model {name} cannot be served: {why}.", field=field)
