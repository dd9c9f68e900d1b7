"""Calls a sequence-to-sequence model for the texts that it writes from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.text2text import Text2TextOutput, Text2TextRequest
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.text_items import FIELD, call_for_each

TRANSLATE, TEXT2TEXT = "translate", "text2text"


@dataclass(frozen=True, slots=True)
class Text2TextOptions:
    """Languages as codes of the model, and how much is written and read."""

    source_lang: str | None = None
    target_lang: str | None = None
    max_new_tokens: int | None = None
    truncate: bool = False


async def generate_text2text(
    texts: Sequence[str],
    task: str,
    options: Text2TextOptions,
    card: ModelCard,
    services: Services,
    *,
    fields: Mapping[str, str],
    field: str = FIELD,
) -> list[Text2TextOutput | Problem]:
    """What the model writes from every text, or why there is nothing.

    ``fields`` are the route's names for the fields of the model side, ``field`` for the texts.
    """

    def request_for(good: tuple[str, ...]) -> Text2TextRequest:
        return Text2TextRequest(
            card.name,
            good,
            task == TRANSLATE,
            options.source_lang,
            options.target_lang,
            options.max_new_tokens,
            options.truncate,
        )

    return await call_for_each(
        texts, card, services, "text2text", request_for, fields=fields, field=field
    )
