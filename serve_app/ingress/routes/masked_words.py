"""Calls a model for the words of masked places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

from pydantic import Field

from deployments.seam.fill_mask import FillMaskRequest, TokenPrediction
from deployments.seam.problems import Problem
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.text_items import FIELD, call_for_each

FILL_MASK = "fill_mask"
TOP_K = 5

MAX_ANSWER_BODIES = 4
"""Every prediction repeats its text: together they have so many times the bytes of a body."""

TopTokens: TypeAlias = Annotated[int, Field(ge=1, le=100)]
"""How many tokens are found for a mask."""


async def fill_masks(
    texts: Sequence[str],
    card: ModelCard,
    services: Services,
    *,
    top_k: int | None,
    targets: Sequence[str] = (),
    truncate: bool = False,
    fields: Mapping[str, str] | None = None,
    field: str = FIELD,
) -> list[tuple[TokenPrediction, ...] | Problem]:
    """The likeliest tokens for the mask of every text, or why there are none.

    ``fields`` are the route's names for the fields of the model side, ``field`` for the texts.
    Raises :class:`ValidationFailed` if the answer would be too large.
    """
    limit = MAX_ANSWER_BODIES * services.settings.max_body_bytes
    if sum(len(text.encode()) for text in texts) * (top_k or TOP_K) > limit:
        name = (fields or {}).get("top_k", "top_k")
        raise ValidationFailed(f"Texts times {name} have up to {limit} bytes.", field=name)

    def request_for(good: tuple[str, ...]) -> FillMaskRequest:
        return FillMaskRequest(card.name, good, top_k or TOP_K, tuple(targets), truncate)

    return await call_for_each(
        texts, card, services, "fill_mask", request_for, fields=fields, field=field
    )
