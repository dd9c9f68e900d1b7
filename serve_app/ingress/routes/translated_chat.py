"""Chats of other APIs: translated to OpenAI's chat, whose route does the work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fastapi.exceptions import RequestValidationError

from deployments.seam.generation import GenerationRequest, GenerationResult
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.errors import ServiceError, invalid_fields
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.huggingface.request_body import parsed
from serve_app.ingress.routes.openai.chat import ChatBody, generation_request
from serve_app.ingress.routes.openai.chat_answers import ToolCallPolicy
from serve_app.ingress.validation.field_errors import field_errors


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Another API's names for fields of a chat: pairs of a pattern and what replaces it."""

    pairs: Sequence[tuple[str, str]]

    def of(self, text: str) -> str:
        """``text`` with the fields in it renamed."""
        for ours, theirs in self.pairs:
            text = re.sub(rf"\b{ours}\b", theirs, text)
        return text

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Rename the fields that errors raised in the block name."""
        try:
            yield
        except RequestValidationError as error:
            found = field_errors(error.errors())
            raise invalid_fields({self.of(each): text for each, text in found.items()}) from None
        except ServiceError as error:
            error.message = self.of(error.message)
            error.field = None if error.field is None else self.of(error.field)
            named: Mapping[str, str] | None = error.details.get("field_errors")
            if named is not None:
                renamed = {self.of(name): self.of(text) for name, text in named.items()}
                error.details["field_errors"] = renamed
            raise


@dataclass(frozen=True, slots=True)
class TranslatedChat:
    """A chat that is ready to be answered. ``calls`` says which tools an answer may call."""

    card: ModelCard
    request: GenerationRequest
    fields: dict[str, str]
    calls: ToolCallPolicy | None
    services: Services

    @classmethod
    async def of(
        cls,
        chat: Mapping[str, Any],
        names: FieldNames,
        services: Services,
        context: RequestContext,
        *,
        trim_oldest: bool = False,
    ) -> TranslatedChat:
        """The chat of a body of OpenAI's; what it refuses is named by ``names``."""
        with names.in_errors():
            body = parsed(ChatBody, chat)
            schemas = await context.schema_text()
            card, request, fields = await generation_request(body, services, context, schemas)
        calls = ToolCallPolicy.of(card, body.offered, forced=body.forces_call)
        theirs = {ours: names.of(each) for ours, each in fields.items()}
        return cls(card, replace(request, trim_oldest=trim_oldest), theirs, calls, services)

    async def whole(self) -> GenerationResult:
        result: GenerationResult = await self.services.client.call(
            self.card.family, "generate", self.request, self.fields
        )
        return result

    async def stream(self) -> ChunkStream:
        return await self.services.client.open_stream(
            self.card.family, "stream", self.request, self.fields
        )
