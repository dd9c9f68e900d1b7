"""Which models there are, and which of them answers: known from configuration alone.

Nothing here asks a replica, so a family that is scaled to zero sleeps until it is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from configs.engines import ToolCalls
from configs.profile import Family, ModelSpec, Profile
from configs.settings import Settings
from serve_app.ingress.errors import ModelNotFound, ValidationFailed


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the ingress knows of one model. ``window`` and ``max_tokens`` are in tokens.

    ``engine`` is ``auto`` where a node takes the faster one of ``engines``, which it alone knows.
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
    tool_calls: ToolCalls | None = None


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

    def find(self, name: str, field: str = "model") -> ModelCard:
        """The card of a name or alias, whatever its task. Raises :class:`ModelNotFound`."""
        card = self._by_name.get(name)
        if card is None:
            raise ModelNotFound(name, [card.name for card in self.cards], field)
        return card

    def resolve(self, task: str, name: str | None, field: str = "model_name") -> ModelCard:
        """The card that answers ``task``: the named model, or the family's default.

        Raises :class:`ModelNotFound`, listing what is served for the task, for a name that is
        unknown or that does not do the task.
        """
        able = [card for card in self.cards if task in card.tasks]
        if name is None:
            if not able:
                raise ValidationFailed(f"No model is configured for {task}.", field=field)
            return self._default(able)
        card = self._by_name.get(name)
        if card is None or task not in card.tasks:
            raise ModelNotFound(name, [card.name for card in able], field)
        return card

    def resolve_first(
        self, tasks: Iterable[str], name: str | None, field: str = "model_name"
    ) -> tuple[str, ModelCard]:
        """The first of ``tasks`` that can be answered, by the named model if there is one.

        Raises as :meth:`resolve` does, for the last of ``tasks``.
        """
        *earlier, last = tasks
        named = None if name is None else self._by_name.get(name)
        for task in earlier:
            able = [card for card in self.cards if task in card.tasks]
            if named in able or (name is None and able):
                return task, self.resolve(task, name, field)
        return last, self.resolve(last, name, field)

    def require(self, card: ModelCard, task: str, fields: Iterable[tuple[str, str]]) -> None:
        """Refuse, by name, a field whose capability the card's engine does not have."""
        for field, capability in fields:
            if capability not in card.unsupported:
                continue
            doing = (other for other in self.cards if task in other.tasks)
            able = [other.name for other in doing if capability not in other.unsupported]
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


def _card(family: Family, model: ModelSpec) -> ModelCard:
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
        tool_calls=model.tool_calls,
    )
