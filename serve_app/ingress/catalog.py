"""The models that are served, and which of them answers a request.

For the models of the profile the catalog calls no replica, so a lookup does not start a family that
is scaled to zero. A name outside the profile may be that of a live model, or become one
(:mod:`serve_app.ingress.live_models`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Protocol

from configs.profile import Profile
from configs.settings import Settings
from serve_app.ingress.errors import (
    FamilyNotAllowed,
    ModelNotFound,
    ValidationFailed,
    check_family,
)
from serve_app.ingress.live_models import LiveModels
from serve_app.ingress.live_order import LiveOrder
from serve_app.ingress.model_card import ModelCard, card_of

NO_IMAGE_MODEL = (
    " No chat model here does; /api/v1/huggingface/vision/question and /vision/caption may."
)


class LookupObserver(Protocol):
    """Is notified of the model lookups of one request, for metering."""

    def lookup_started(self, task: str) -> None:
        """A lookup for ``task`` begins; it may find no model."""

    def found(self, task: str, model: str) -> None:
        """The lookup found ``model``, which will do ``task``."""


class Catalog:
    """Model cards by name, alias and task."""

    def __init__(
        self, profile: Profile, settings: Settings, live: LiveModels | None = None
    ) -> None:
        self.own = tuple(card_of(each, m) for each in profile.families for m in each.models)
        self._live = live
        self._by_name = {name: card for card in self.own for name in (card.name, *card.aliases)}
        self._preferred = (
            settings.default_generation_model,
            settings.default_text_model,
            settings.default_embedding_model,
            settings.default_classification_model,
        )
        self._observer: LookupObserver | None = None
        self._families: frozenset[str] = frozenset()

    @property
    def max_live(self) -> int:
        """How many live models there may be."""
        return self._live.max_models if self._live is not None and self._live.allowed else 0

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """Those of the profile, and of live models as far as they are known."""
        return self.own if self._live is None else (*self.own, *self._live.cards)

    def observed_by(self, observer: LookupObserver) -> Catalog:
        """The same catalog, with ``observer`` notified of its lookups."""
        catalog = copy.copy(self)
        catalog._observer = observer
        return catalog

    def restricted_to(self, families: Set[str]) -> Catalog:
        """The same catalog, whose lookups raise :class:`FamilyNotAllowed` for other families."""
        catalog = copy.copy(self)
        catalog._families = frozenset(families)
        return catalog

    async def refresh(self) -> tuple[ModelCard, ...]:
        """The cards, with those of live models that other replicas of the ingress added."""
        if self._live is not None:
            await self._live.refresh()
        return self.cards

    async def find(self, name: str, field: str = "model") -> ModelCard:
        """The card of a name or alias, whatever its task. Raises :class:`ModelNotFound`."""
        card = await self._named(name, field)
        if card is None:
            raise self._not_found(name, self.cards, field)
        return self._allowed(card)

    async def known(self, fields: Mapping[str, str | None]) -> Set[str]:
        """Look up the models that ``fields`` of a request name, so that :attr:`cards` has them.

        Those outside the profile may have to be inspected. A name that leads to no model is left
        out. Returns the names of those that are not known because they may not be used. Raises
        another :class:`ServiceError` if a model is there and cannot be served, or cannot be looked
        up now.
        """
        looked_up, refused = set[str](), set[str]()
        for field, name in fields.items():
            if name is not None and name not in looked_up:
                looked_up.add(name)
                try:
                    await self._named(name, field)
                except FamilyNotAllowed:
                    refused.add(name)
        return refused

    async def ordered(self, name: str, order: LiveOrder, field: str = "model_name") -> ModelCard:
        """The card of a model that an order loads, as the order wants it.

        Raises :class:`ModelNotFound`, and :class:`ValidationFailed` for an option that the
        model's profile entry or the allow-list does not permit.
        """
        if (own := self._by_name.get(name)) is not None:
            order.check(own)
            return self._allowed(own)
        card = (
            None
            if self._live is None
            else await self._live.adopt(name, field, order, self._families)
        )
        if card is None:
            raise self._not_found(name, self.cards, field)
        return self._allowed(card)

    async def removed(self, name: str, field: str = "model_name") -> ModelCard:
        """The card of a model that an order unloads. A live model is not known after this.

        Raises :class:`ModelNotFound`.
        """
        card = self._by_name.get(name)
        if card is None and self._live is not None:
            card = await self._live.remove(name, self._families)
        if card is None:
            raise self._not_found(name, self.cards, field)
        return self._allowed(card)

    async def _named(
        self, name: str, field: str, tasks: Set[str] = frozenset()
    ) -> ModelCard | None:
        card = self._by_name.get(name)
        if card is not None or self._live is None:
            return card
        return await self._live.find(name, field, self._families, tasks)

    def _not_found(
        self, name: str, cards: Iterable[ModelCard], field: str, tasks: Sequence[str] = ()
    ) -> ModelNotFound:
        allowed = [] if self._live is None else self._live.allowed.shown
        return ModelNotFound(name, [card.name for card in cards], field, allowed, tasks)

    async def resolve(
        self,
        task: str,
        name: str | None,
        field: str = "model_name",
        needed: Iterable[tuple[str, str]] = (),
    ) -> ModelCard:
        """The card that answers ``task``: the named model, or the default.

        The task's own name also means the default. Of the models that support everything in
        ``needed`` (pairs as of :meth:`require`) the preferred one is taken. If no model supports
        all of it, or a named model does not, :meth:`require` refuses the request.

        Raises :class:`ModelNotFound`, which lists the models for the task, when the name is unknown
        or its model does not do the task, and :class:`ValidationFailed` as :meth:`require` does.
        """
        needed = list(needed)
        if self._observer is not None:
            self._observer.lookup_started(task)
        card = await self._resolved(task, name, field, {capability for _, capability in needed})
        if self._observer is not None:
            self._observer.found(task, card.name)
        self.require(card, task, needed)
        return card

    async def _resolved(
        self, task: str, name: str | None, field: str, capabilities: Set[str] = frozenset()
    ) -> ModelCard:
        able = [card for card in self.own if task in card.tasks]
        if name is None or (name == task and name not in self._by_name):
            if not able:
                raise ValidationFailed(f"No model is configured for {task}.", field=field)
            mine = [card for card in able if self._may_use(card)]
            if not mine:
                raise FamilyNotAllowed(able[0].family, self._families)
            capable = [card for card in mine if capabilities.isdisjoint(card.unsupported)]
            return self._default(capable or mine)
        card = await self._named(name, field, {task})
        if card is None or task not in card.tasks:
            others = (each for each in self.cards if task in each.tasks)
            tasks = card.tasks if card is not None and self._may_use(card) else ()
            raise self._not_found(name, others, field, tasks)
        return self._allowed(card)

    def _may_use(self, card: ModelCard) -> bool:
        return not self._families or card.family in self._families

    def _allowed(self, card: ModelCard) -> ModelCard:
        check_family(card.family, self._families)
        return card

    async def resolve_first(
        self, tasks: Iterable[str], name: str | None, field: str = "model_name"
    ) -> tuple[str, ModelCard]:
        """The first of ``tasks`` that the named model does, or that any does when none is named,
        of those that may be used.

        Raises as :meth:`resolve` does, for the last of ``tasks``.
        """
        *earlier, last = tasks
        named = None if name is None else await self._named(name, field, {*earlier, last})
        mine = [card for card in self.own if self._may_use(card)]
        for task in earlier:
            able = mine if name is None else [named] if named else ()
            if any(task in card.tasks for card in able):
                return task, await self.resolve(task, name, field)
        return last, await self.resolve(last, name, field)

    def require(self, card: ModelCard, task: str, fields: Iterable[tuple[str, str]]) -> None:
        """Raise :class:`ValidationFailed` for a field whose capability the card's engine lacks.

        ``fields`` are pairs of a field's name and its capability.
        """
        for field, capability in fields:
            if capability not in card.unsupported:
                continue
            others = (other for other in self.cards if task in other.tasks)
            able = [other.name for other in others if capability not in other.unsupported]
            hint = f" These models can: {', '.join(able)}." if able else ""
            lacks = f"{field} cannot be honoured by {card.name} (engine {card.engine})."
            if capability == "images":
                lacks, hint = f"{card.name} reads no images.", hint or NO_IMAGE_MODEL
            raise ValidationFailed(
                f"{lacks}{hint}",
                field=field,
                details={"field_errors": {field: "not supported by this model"}, "models": able},
            )

    def _default(self, able: list[ModelCard]) -> ModelCard:
        for preferred in self._preferred:
            card = self._by_name.get(preferred) if preferred else None
            if card in able:
                return card
        return next((card for card in able if card.pinned), able[0])
