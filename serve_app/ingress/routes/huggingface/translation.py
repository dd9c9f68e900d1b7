"""Translation and text2text generation: greedy, by sequence-to-sequence models."""

from __future__ import annotations

from typing import Any, Literal

from starlette.responses import Response

from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import Inputs, NoOptions
from serve_app.ingress.routes.huggingface.text_inputs import FIELD, input_answers
from serve_app.ingress.routes.text2text_calls import (
    TEXT2TEXT,
    TRANSLATE,
    Text2TextOptions,
    generate_text2text,
)
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.validation.effects import NoEffect, Off
from serve_app.ingress.validation.fields import Body, LanguageCode, TokenCount

hub_tasks = HubTasks()

FIELDS = {
    "max_new_tokens": "parameters.max_new_tokens",
    "source_lang": "parameters.src_lang",
    "target_lang": "parameters.tgt_lang",
}


class Text2TextBounds(Body):
    """Tokens of the text; both names are the same, since nothing else is counted."""

    max_length: TokenCount | None = None
    max_new_tokens: TokenCount | None = None
    do_sample: Off = None
    num_beams: NoEffect[Literal[1] | None] = None


class Text2TextParameters(Text2TextBounds):
    """Bounds are taken here too, as the client's ``text_generation`` sends them."""

    clean_up_tokenization_spaces: Off = None
    decoder_input_details: Off = None
    details: Off = None
    generate_parameters: Text2TextBounds | None = None
    return_full_text: Off = None
    truncation: Literal["do_not_truncate", "longest_first", "only_first"] | None = None
    watermark: Off = None

    @property
    def max_tokens(self) -> int | None:
        """The bound, wherever it is given. Raises if it is given twice and differs."""
        bounds = [each for each in (self.generate_parameters, self) if each is not None]
        given = {each.max_new_tokens or each.max_length for each in bounds} - {None}
        if len(given) > 1:
            message = "the bound is given twice."
            raise ValidationFailed(message, field=FIELDS["max_new_tokens"])
        return next(iter(given), None)

    @property
    def options(self) -> Text2TextOptions:
        truncates = self.truncation not in (None, "do_not_truncate")
        return Text2TextOptions(max_new_tokens=self.max_tokens, truncate=truncates)


class TranslationParameters(Text2TextParameters):
    src_lang: LanguageCode | None = None
    tgt_lang: LanguageCode | None = None

    @property
    def options(self) -> Text2TextOptions:
        given = super().options
        return Text2TextOptions(self.src_lang, self.tgt_lang, given.max_new_tokens, given.truncate)


class TranslationBody(Body):
    inputs: Inputs
    parameters: TranslationParameters = TranslationParameters()
    options: NoOptions = None


class HubText2TextBody(Body):
    """``stream`` is the field of ``text_generation``; these models' texts come whole."""

    inputs: Inputs
    parameters: Text2TextParameters = Text2TextParameters()
    stream: Off = None
    options: NoOptions = None


@hub_tasks.task("translation", TRANSLATE, distinguishing={"src_lang", "tgt_lang"})
async def translation(
    body: TranslationBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{translation_text}]``, one a text."""
    return await _written(body, TRANSLATE, "translation_text", card, services, context)


@hub_tasks.task("text2text-generation", TEXT2TEXT, distinguishing={"stream"})
async def text2text_generation(
    body: HubText2TextBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{generated_text}]``, one a text."""
    return await _written(body, TEXT2TEXT, "generated_text", card, services, context)


async def _written(
    body: TranslationBody | HubText2TextBody,
    task: str,
    name: str,
    card: ModelCard,
    services: Services,
    context: RequestContext,
) -> Response:
    """The answer, with each text under ``name``."""
    texts, options = texts_of(body.inputs), body.parameters.options
    items = await generate_text2text(
        texts, task, options, card, services, fields=FIELDS, field=FIELD
    )
    shown: list[Any] = input_answers(body.inputs, items, lambda _, item: {name: item.text})
    return context.bare_list(shown, card.name)
