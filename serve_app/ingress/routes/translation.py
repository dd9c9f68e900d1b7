"""``POST /translate`` and ``/text2text``: what sequence-to-sequence models write from texts."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from deployments.seam.problems import Problem
from deployments.seam.text2text import Text2TextOutput
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import (
    NATIVE_FIELDS,
    Context,
    RequestServices,
    Services,
    TaskResult,
)
from serve_app.ingress.routes.generation_fields import usage
from serve_app.ingress.routes.huggingface.translation import hub_tasks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.text2text_calls import (
    TEXT2TEXT,
    TRANSLATE,
    Text2TextOptions,
    generate_text2text,
)
from serve_app.ingress.routes.text_items import (
    ItemError,
    TruncatableTextsBody,
    failed_item,
    only,
    texts_of,
)
from serve_app.ingress.validation.fields import Answer, LanguageCode, TokenCount, example

router = NativeRouter("translation")
router.hub_tasks.add(hub_tasks)


class Seq2SeqBody(TruncatableTextsBody):
    """One text for one answer, a list for a list of them. Languages are codes of the model."""

    source_lang: LanguageCode | None = None
    target_lang: LanguageCode | None = None
    max_new_tokens: TokenCount | None = None

    @property
    def options(self) -> Text2TextOptions:
        return Text2TextOptions(
            self.source_lang, self.target_lang, self.max_new_tokens, self.truncate
        )


class TranslateBody(Seq2SeqBody):
    model_config = example(texts="The ferry leaves at noon.", source_lang="en", target_lang="de")


class Text2TextBody(Seq2SeqBody):
    model_config = example(texts="translate English to German: The ferry leaves at noon.")


class TranslatedText(BaseModel):
    translation: str


class TranslateAnswer(TranslatedText, Answer):
    """One text's answer; in a list each is a bare ``TranslatedText``, or ``{error: ...}``."""

    usage: dict[str, int]


class Text2TextItem(BaseModel):
    text: str


class Text2TextAnswer(Text2TextItem, Answer):
    """One text's answer; in a list each is a bare ``Text2TextItem``, or ``{error: ...}``."""

    usage: dict[str, int]


@router.task(
    "/translate",
    TRANSLATE,
    step="translate",
    answer=TranslateAnswer | list[TranslatedText | ItemError],
    summary="Texts in another language",
)
async def translate(body: TranslateBody, services: RequestServices, context: Context) -> TaskResult:
    """``{translation}``, decoded greedily. In a list a bad text fails alone."""
    card = await services.catalog.resolve(TRANSLATE, body.model_name)
    return await _written(body, TRANSLATE, "translation", card, services)


@router.task(
    "/text2text",
    TEXT2TEXT,
    step="text2text",
    answer=Text2TextAnswer | list[Text2TextItem | ItemError],
    summary="What a sequence-to-sequence model writes from texts",
)
async def text2text(body: Text2TextBody, services: RequestServices, context: Context) -> TaskResult:
    """``{text}``, decoded greedily. In a list a bad text fails alone."""
    card = await services.catalog.resolve(TEXT2TEXT, body.model_name)
    return await _written(body, TEXT2TEXT, "text", card, services)


async def _written(
    body: Seq2SeqBody, task: str, name: str, card: ModelCard, services: Services
) -> TaskResult:
    """The answer, with each text under ``name``."""
    texts = texts_of(body.texts)
    items = await generate_text2text(
        texts, task, body.options, card, services, fields=NATIVE_FIELDS
    )
    if isinstance(body.texts, str):
        item: Text2TextOutput = only(items)
        counts = usage(item.prompt_tokens, item.tokens)
        return TaskResult({name: item.text, "usage": counts}, card.name)
    return TaskResult([_in_list(name, item) for item in items], card.name)


def _in_list(name: str, item: Text2TextOutput | Problem) -> dict[str, Any]:
    return failed_item(item) if isinstance(item, Problem) else {name: item.text}
