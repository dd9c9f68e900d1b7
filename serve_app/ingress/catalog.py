"""The models that are served, and which of them answers a request.

The catalog reads the profile and calls no replica for its models, so a lookup does not start a
family that is scaled to zero. A lookup is a coroutine, since a name outside the profile may have to
be looked up elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Protocol

from configs.engines import Dtype, ToolCalls
from configs.profile import FamilySpec, ModelSpec, Profile
from configs.settings import Settings
from serve_app.ingress.errors import ModelNotFound, ValidationFailed


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as the profile describes it. ``window`` and ``max_tokens`` are in tokens.

    ``notes`` say what a client should know about its answers.

    The ``engine`` ``auto`` means that each node times the candidate ``engines`` and picks one. The
    ingress does not know which.
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    deployment: str
    tasks: tuple[str, ...]
    engine: str
    engines: tuple[str, ...]
    revision: str | None
    unsupported: frozenset[str]
    window: int | None
    max_tokens: int | None
    pinned: bool
    dtype: Dtype = "auto"
    notes: tuple[str, ...] = ()
    tool_calls: ToolCalls | None = None


class LookupObserver(Protocol):
    """Is notified of the model lookups of one request, for metering."""

    def lookup_started(self, task: str) -> None:
        """A lookup for ``task`` begins; it may find no model."""

    def found(self, task: str, model: str) -> None:
        """The lookup found ``model``, which will do ``task``."""


class Catalog:
    """Model cards by name, alias and task."""

    def __init__(self, profile: Profile, settings: Settings) -> None:
        self.cards = tuple(_card(family, m) for family in profile.families for m in family.models)
        self._by_name = {name: card for card in self.cards for name in (card.name, *card.aliases)}
        self._preferred = (
            settings.default_generation_model,
            settings.default_text_model,
            settings.default_embedding_model,
            settings.default_classification_model,
        )
        self._observer: LookupObserver | None = None

    def observed_by(self, observer: LookupObserver) -> Catalog:
        """The same catalog, with ``observer`` notified of its lookups."""
        catalog = copy.copy(self)
        catalog._observer = observer
        return catalog

    async def find(self, name: str, field: str = "model") -> ModelCard:
        """The card of a name or alias, whatever its task. Raises :class:`ModelNotFound`."""
        card = self._by_name.get(name)
        if card is None:
            raise ModelNotFound(name, [card.name for card in self.cards], field)
        return card

    async def resolve(
        self,
        task: str,
        name: str | None,
        field: str = "model_name",
        needed: Iterable[tuple[str, str]] = (),
    ) -> ModelCard:
        """The card that answers ``task``: the named model, or the default.

        The name of the task itself stands for the default as well. That is the default among the
        models that have the capabilities of ``needed``, pairs as of :meth:`require`. If none has
        them all, or another model is named, :meth:`require` refuses the request.

        Raises :class:`ModelNotFound`, which lists the models for the task, when the name is unknown
        or its model does not do the task, and :class:`ValidationFailed` as :meth:`require` does.
        """
        needed = list(needed)
        if self._observer is not None:
            self._observer.lookup_started(task)
        card = self._resolved(task, name, field, {capability for _, capability in needed})
        if self._observer is not None:
            self._observer.found(task, card.name)
        self.require(card, task, needed)
        return card

    def _resolved(
        self, task: str, name: str | None, field: str, capabilities: Set[str] = frozenset()
    ) -> ModelCard:
        able = [card for card in self.cards if task in card.tasks]
        if name is None or (name == task and name not in self._by_name):
            if not able:
                raise ValidationFailed(f"No model is configured for {task}.", field=field)
            capable = [card for card in able if capabilities.isdisjoint(card.unsupported)]
            return self._default(capable or able)
        card = self._by_name.get(name)
        if card is None or task not in card.tasks:
            raise ModelNotFound(name, [card.name for card in able], field)
        return card

    async def resolve_first(
        self, tasks: Iterable[str], name: str | None, field: str = "model_name"
    ) -> tuple[str, ModelCard]:
        """The first of ``tasks`` that the named model does, or that any does when none is named.

        Raises as :meth:`resolve` does, for the last of ``tasks``.
        """
        *earlier, last = tasks
        named = None if name is None else self._by_name.get(name)
        for task in earlier:
            able = [card for card in self.cards if task in card.tasks]
            if named in able or (name is None and able):
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
            raise ValidationFailed(
                f"{field} cannot be honoured by {card.name} (engine {card.engine}).{hint}",
                field=field,
                details={"field_errors": {field: "not supported by this model"}, "models": able},
            )

    def _default(self, able: list[ModelCard]) -> ModelCard:
        for preferred in self._preferred:
            card = self._by_name.get(preferred) if preferred else None
            if card in able:
                return card
        return next((card for card in able if card.pinned), able[0])


def _card(family: FamilySpec, model: ModelSpec) -> ModelCard:
    return ModelCard(
        name=model.name,
        aliases=model.aliases,
        family=family.name,
        deployment=family.deployment_name,
        tasks=model.tasks,
        engine=model.engines[0] if len(model.engines) == 1 else model.engine,
        engines=model.engines,
        revision=getattr(model.source, "revision", None),
        unsupported=model.unsupported,
        window=model.window,
        max_tokens=model.max_tokens,
        pinned=model.pinned,
        dtype=model.dtype,
        notes=model.notes,
        tool_calls=model.tool_calls,
    )
