"""``POST /v1/chat/completions``."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field
from starlette.responses import Response

from deployments.seam.generation import (
    GenerationRequest,
    GenerationResult,
    Grammar,
    ToolCallMarkers,
)
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.documentation.rules import INTEGER, ITEMS, OBJECT, TRUE, never, when
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.chat_request import CHAT
from serve_app.ingress.routes.context import (
    Context,
    RequestContext,
    RequestServices,
    Services,
    json_response,
)
from serve_app.ingress.routes.generation_fields import stops, usage
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.call_scanner import FORMATS
from serve_app.ingress.routes.openai.chat_answers import ChatPieces, ToolCallPolicy, whole_choice
from serve_app.ingress.routes.openai.chat_images import image_needs, with_images
from serve_app.ingress.routes.openai.messages import Messages, check_answers
from serve_app.ingress.routes.openai.no_effect import NoEffectChatBody
from serve_app.ingress.routes.openai.response_format import ResponseFormat
from serve_app.ingress.routes.openai.sampling import STREAMED, SamplingBody, chunks, failure, now
from serve_app.ingress.routes.openai.shapes import ERRORS, ChatChunk, ChatCompletion, OpenAIError
from serve_app.ingress.routes.openai.template_variables import (
    TemplateVariables,
    template_variables,
)
from serve_app.ingress.routes.openai.tools import (
    NamedTool,
    Tool,
    ToolChoice,
    Tools,
    calling,
    chosen,
    parameters_of,
)
from serve_app.ingress.validation.fields import TokenCount, TopLogprobs, example
from serve_app.ingress.validation.limits import check_prompt, check_window
from serve_app.ingress.validation.schema_text import SchemaText

FIELDS = {
    "prompt": "messages",
    "template_variables": "chat_template_kwargs",
    "keep_last": "truncate_prompt_tokens",
    "truncate": "truncate_prompt_tokens",
    "trim_oldest": "truncation",
}

router = InferenceRouter(prefix="/v1", tags=["openai"], responses=ERRORS)

EVENTS = event_stream(unnamed=(ChatChunk, OpenAIError), done=True)


CALLING = {"anyOf": [{"const": "required"}, OBJECT]}
FORMATTED = {"properties": {"type": {"not": {"const": "text"}}}, "required": ["type"], **OBJECT}
RULES = (
    STREAMED,
    when({"top_logprobs": {"minimum": 1, **INTEGER}}, needs={"logprobs": TRUE}),
    when({"tool_choice": CALLING}, needs={"tools": ITEMS}),
    never(
        {"response_format": FORMATTED, "tools": ITEMS}, unless={"tool_choice": {"const": "none"}}
    ),
)


class ChatBody(SamplingBody, NoEffectChatBody):
    """A chat to be continued by one assistant turn, or by ``n`` alternatives of it."""

    model_config = example(
        *RULES,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
    )

    messages: Messages
    max_completion_tokens: TokenCount | None = Field(None, description="as max_tokens")
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    response_format: ResponseFormat | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: TemplateVariables | None = Field(
        None, description="variables of the model's chat template, such as enable_thinking"
    )

    def needed_capabilities(self) -> Iterator[tuple[str, str]]:
        yield from super().needed_capabilities()
        if self.top_logprobs:
            yield "top_logprobs", "top_logprobs"
        if self.offered:
            yield "tools", "tools"
        if any(message.tool_calls or message.role == "tool" for message in self.messages):
            yield "messages", "tools"
        yield from image_needs(self.messages)
        if self.response_format and self.response_format.type != "text":
            yield "response_format", "response_format"
        if self.tool_choice not in (None, "none", "auto"):
            yield "tool_choice", "response_format"
        if any(tool.function.strict for tool in self.offered):
            yield "tools", "response_format"

    def check(self) -> None:
        """Refuse fields that contradict each other. Raises ``ValidationFailed``."""
        named = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        formatted = self.response_format is not None and self.response_format.type != "text"
        guided = self.guided.field if self.guided else ""
        bounds = {self.max_tokens, self.max_completion_tokens} - {None}
        wrong = {
            "max_tokens": (
                len(bounds) > 1,
                "max_tokens and max_completion_tokens are two names of one bound.",
            ),
            "top_logprobs": (
                bool(self.top_logprobs and not self.logprobs),
                "top_logprobs needs logprobs to be true.",
            ),
            "tool_choice": (
                named not in {None, *(tool.function.name for tool in self.offered)}
                or (self.tool_choice == "required" and not self.tools),
                "tool_choice needs the function among the tools.",
            ),
            "response_format": (
                formatted and bool(self.offered),
                "response_format cannot be enforced where tools may be called.",
            ),
            guided: (
                bool(guided) and (formatted or bool(self.offered)),
                f"{guided} cannot be enforced beside a response_format, or where tools may be "
                "called.",
            ),
        }
        for field, (broken, message) in wrong.items():
            if broken:
                raise ValidationFailed(message, field=field)
        check_answers(self.messages)

    @property
    def offered(self) -> list[Tool]:
        """The tools that may be called."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def forces_call(self) -> bool:
        """Whether the answer is a call, and nothing but a call."""
        return bool(self.offered) and self.tool_choice not in (None, "none", "auto")

    def grammar(self, card: ModelCard, schemas: SchemaText) -> Grammar | None:
        """The grammar that constrains the text, from the tools or the format; never from both."""
        if self.offered and card.tool_calls:
            written = FORMATS[card.tool_calls]
            return calling(self.offered, self.tool_choice or "auto", written, schemas)
        if self.guided is not None:
            return self.guided.grammar(schemas)
        return self.response_format.grammar(schemas) if self.response_format else None

    def grammar_fields(self) -> dict[str, str]:
        """The request's field for each part of the grammar, by the part's name in the seam."""
        if not self.offered:
            return {"grammar": self.guided.field if self.guided else "response_format"}
        may_call = [parameters_of(i) for i in chosen(self.offered, self.tool_choice or "auto")]
        parts = {f"grammar.{part}": field for part, field in enumerate(may_call)}
        return {"grammar": may_call[0] if len(may_call) == 1 else "tools", **parts}

    def stop_after_tool_call(self, card: ModelCard) -> ToolCallMarkers | None:
        """The marks of calls, where the first call ends the text."""
        if not (self.offered and card.tool_calls and self.parallel_tool_calls is False):
            return None
        written = FORMATS[card.tool_calls]
        return ToolCallMarkers(written.opening, written.closing)

    @property
    def bound(self) -> tuple[str, int | None]:
        """The field that bounds the new tokens, and its value."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens


@router.inference(
    "/chat/completions",
    CHAT,
    also_called=("conversational", "chat-completion"),
    summary="Continue a chat",
    responses=EVENTS,
    response_model=ChatCompletion,
)
async def chat_completions(body: ChatBody, services: RequestServices, context: Context) -> Response:
    """One answer, or with ``stream`` its pieces as they are decoded."""
    schemas = await context.schema_text()
    card, request, fields = await generation_request(body, services, context, schemas)
    calls = ToolCallPolicy.of(card, body.offered, forced=body.forces_call)
    head = {"id": f"chatcmpl-{context.request_id}", "created": now(), "model": card.name}
    if body.stream:
        head["object"] = "chat.completion.chunk"
        pieces = ChatPieces(calls)
        return await services.stream(
            services.client.open_stream(card.family, "stream", request, fields),
            lambda stream: chunks(stream, head, pieces.of, body.usage_reports),
            failure,
            card,
        )
    generated: GenerationResult = await services.client.call(
        card.family, "generate", request, fields
    )
    new_tokens = sum(choice.tokens for choice in generated.choices)
    return json_response(
        {
            **head,
            "object": "chat.completion",
            "choices": [
                whole_choice(i, choice, calls) for i, choice in enumerate(generated.choices)
            ],
            "usage": usage(generated.prompt_tokens, new_tokens),
        }
    )


async def generation_request(
    body: ChatBody, services: Services, context: RequestContext, schemas: SchemaText
) -> tuple[ModelCard, GenerationRequest, dict[str, str]]:
    """The model, its request, and this API's names for the request's fields."""
    card = await services.catalog.resolve(CHAT, body.model, "model", body.needed_capabilities())
    field, bound = body.bound
    check_window(bound, card, field)
    body.check_min_tokens(bound, field)
    shown = tuple(tool.shown() for tool in body.offered)
    check_prompt("".join(shown), services.settings, "tools")
    check_prompt(
        "".join(message.written for message in body.messages), services.settings, "messages"
    )
    body.check()  # it reads what the messages hold, which is bounded now
    body.check_stream()
    request = GenerationRequest(
        request_id=context.request_id,
        session=context.session,
        model=card.name,
        messages=await with_images(body.messages, services),
        tools=shown,
        grammar=body.grammar(card, schemas),
        template_variables=template_variables(body.chat_template_kwargs, services.settings),
        max_new_tokens=bound,
        min_new_tokens=body.min_tokens or 0,
        ignore_eos=bool(body.ignore_eos),
        keep_last=body.keep_last,
        truncate=body.truncate,
        sampling=body.sampling(logprobs=bool(body.logprobs), top_logprobs=body.top_logprobs or 0),
        stop=stops(body.stop),
        stop_after_tool_call=body.stop_after_tool_call(card),
        choices=body.n or 1,
    )
    return card, request, {**FIELDS, "max_new_tokens": field, **body.grammar_fields()}
