"""The model card: what the ingress knows about a model."""

from __future__ import annotations

from dataclasses import dataclass

from configs.engines import Dtype, ToolCalls
from configs.profile import FamilySpec, ModelSpec


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as the profile describes it. ``window`` and ``max_tokens`` are in tokens.

    ``notes`` say what a client should know about its answers. ``live``: the profile does not name
    it, it was loaded by name.

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
    live: bool = False


def card_of(family: FamilySpec, model: ModelSpec, *, live: bool = False) -> ModelCard:
    """The card of a model of ``family``."""
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
        live=live,
    )
