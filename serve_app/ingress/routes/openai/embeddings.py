"""``POST /v1/embeddings``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from starlette.responses import Response

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.json_pieces import Base64
from serve_app.ingress.routes.context import RequestServices, paced_json
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.shapes import ERRORS, EmbeddingList
from serve_app.ingress.routes.vectors import EMBED, embed
from serve_app.ingress.validation.bounded_json import MAX_NUMBERS
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import (
    LIST,
    TEXT,
    TEXT_OR_LIST,
    Body,
    ModelName,
    Readable,
    TextList,
    Truncate,
    example,
)

router = InferenceRouter(prefix="/v1", tags=["openai"], responses=ERRORS)


def _no_token_ids(given: Any) -> Any:
    """Refuse token ids, which some clients send by default, and say what to do instead."""
    match given:
        case [int() | [int(), *_], *_] if not isinstance(given[0], bool):
            raise ValueError(
                "these are token ids of another model's tokenizer, which mean nothing to this "
                "one: send texts (in LangChain, "
                "OpenAIEmbeddings(check_embedding_ctx_length=False))"
            )
    return given


Input = Annotated[
    Annotated[Annotated[Readable, TEXT] | Annotated[TextList, LIST], TEXT_OR_LIST],
    BeforeValidator(_no_token_ids),
]


class OpenAIEmbeddingsBody(Body):
    """Texts to embed. ``dimensions`` keeps the first ones and scales the rest to length 1 again."""

    model_config = example(all_readable("input"), input="The cat sat on the mat.")
    max_values = (
        MAX_NUMBERS  # OpenAI's clients may send token ids, which get an answer of their own
    )

    input: Input
    model: ModelName | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    user: NoEffect[str | None] = None
    truncate: Truncate = False
    truncate_prompt_tokens: Literal[-1] | None = Field(None, description="-1: as truncate")

    @property
    def truncates(self) -> bool:
        return self.truncate or self.truncate_prompt_tokens is not None


@router.inference("/embeddings", EMBED, summary="Texts as vectors", response_model=EmbeddingList)
async def embeddings(body: OpenAIEmbeddingsBody, services: RequestServices) -> Response:
    """Vectors of length 1, as numbers or as base64 of little-endian float32."""
    card = await services.catalog.resolve(EMBED, body.model, "model")
    texts = (body.input,) if isinstance(body.input, str) else tuple(body.input)
    embedded = await embed(
        services,
        card,
        texts,
        "input",
        truncate=body.truncates,
        dimensions=body.dimensions,
        fields={},
    )
    vectors = embedded.vectors
    encoded = map(Base64, vectors) if body.encoding_format == "base64" else vectors
    tokens = sum(embedded.tokens)
    items = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(encoded)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": items, "model": card.name, "usage": usage}
    return await paced_json(answer, services.turns)
