"""``POST /tokenize`` and ``/detokenize``: the tokens of a text generator, as vLLM answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Body as FromBody
from pydantic import BaseModel, Discriminator, Field, Tag
from starlette.responses import Response

from deployments.seam.tokenization import (
    DetokenizeRequest,
    DetokenizeResult,
    TokenizeRequest,
    TokenizeResult,
)
from serve_app.ingress.routes.chat_request import CHAT
from serve_app.ingress.routes.context import RequestServices, json_response
from serve_app.ingress.routes.generation_fields import GENERATE
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.chat_images import image_needs, with_images
from serve_app.ingress.routes.openai.messages import Messages, check_answers
from serve_app.ingress.routes.openai.shapes import ERRORS
from serve_app.ingress.routes.openai.tools import Tools
from serve_app.ingress.validation.bounded_json import MAX_NUMBERS
from serve_app.ingress.validation.effects import NoEffect, NoEffectWithin
from serve_app.ingress.validation.fields import Body, ModelName, Text, TokenId, example
from serve_app.ingress.validation.limits import check_prompt

router = InferenceRouter(prefix="", tags=["vllm"], responses=ERRORS)


class TokenizePromptBody(Body):
    """A plain text, as ``/v1/completions`` reads it."""

    model_config = example(prompt="The capital of France is")

    prompt: Text
    model: ModelName | None = None
    add_special_tokens: bool = True
    return_token_strs: bool = False


class TokenizeChatBody(Body):
    """A chat, as ``/v1/chat/completions`` reads it: with the template's own special tokens."""

    model_config = example(messages=[{"role": "user", "content": "Hello!"}])

    messages: Messages
    model: ModelName | None = None
    tools: Annotated[Tools | None, NoEffectWithin(("function.strict",))] = None
    add_generation_prompt: NoEffect[Literal[True]] = True
    continue_final_message: NoEffect[Literal[False]] = False
    add_special_tokens: NoEffect[Literal[False]] = False
    return_token_strs: bool = False


def _which(given: Any) -> str:
    return "chat[]" if isinstance(given, dict) and "messages" in given else "prompt[]"


TokenizeBody = Annotated[
    Annotated[TokenizePromptBody, Tag("prompt[]")] | Annotated[TokenizeChatBody, Tag("chat[]")],
    Discriminator(_which),
]


class Tokenized(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizeBody(Body):
    """Token ids to be read as text."""

    model_config = example(tokens=[504, 3575, 282])
    max_values = MAX_NUMBERS

    tokens: Annotated[list[TokenId], Field(min_length=1)]
    model: ModelName | None = None


class Detokenized(BaseModel):
    prompt: str


@router.inference(
    "/tokenize",
    GENERATE,
    CHAT,
    name="vllm_tokenize",
    summary="vLLM: the tokens of a prompt or a chat",
    response_model=Tokenized,
)
async def vllm_tokenize(
    body: Annotated[TokenizeBody, FromBody()], services: RequestServices
) -> Response:
    """The ids that the model would read."""
    if isinstance(body, TokenizePromptBody):
        card = await services.catalog.resolve(GENERATE, body.model, "model")
        check_prompt(body.prompt, services.settings, "prompt")
        fields = {"prompt": "prompt"}
        request = TokenizeRequest(
            card.name, prompt=body.prompt, special_tokens=body.add_special_tokens
        )
    else:
        needs = image_needs(body.messages)
        card = await services.catalog.resolve(CHAT, body.model, "model", needs)
        tools = tuple(tool.shown() for tool in body.tools or ())
        check_prompt("".join(tools), services.settings, "tools")
        written = "".join(message.written for message in body.messages)
        check_prompt(written, services.settings, "messages")
        check_answers(body.messages)
        fields = {"prompt": "messages"}
        messages = await with_images(body.messages, services)
        request = TokenizeRequest(card.name, messages=messages, tools=tools)
    found: TokenizeResult = await services.client.call(card.family, "tokenize", request, fields)
    answer = {
        "count": len(found.ids),
        "max_model_len": card.window or found.window,
        "tokens": found.ids,
        "token_strs": found.texts if body.return_token_strs else None,
    }
    return json_response(answer)


@router.inference(
    "/detokenize",
    GENERATE,
    name="vllm_detokenize",
    summary="vLLM: the text of tokens",
    response_model=Detokenized,
)
async def vllm_detokenize(body: DetokenizeBody, services: RequestServices) -> Response:
    """The text, with special tokens spelled out."""
    card = await services.catalog.resolve(GENERATE, body.model, "model")
    request = DetokenizeRequest(card.name, tuple(body.tokens))
    found: DetokenizeResult = await services.client.call(card.family, "detokenize", request, {})
    return json_response({"prompt": found.text})
