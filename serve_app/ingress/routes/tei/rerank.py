"""TEI's reranking: the texts of a query, in order of relevance."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.ranked_documents import RERANK, rank_documents
from serve_app.ingress.routes.tei.truncation import CUT_RIGHT, TruncationBody
from serve_app.ingress.routes.vectors import refuse
from serve_app.ingress.validation.fields import Count, Readable, TextList, example


class TeiRerankBody(TruncationBody):
    """A query, and texts to sort by how well they answer it."""

    model_config = example(
        all_readable("texts"),
        CUT_RIGHT,
        query="How many people live in Berlin?",
        texts=["Berlin has 3.7 million inhabitants.", "Berlin has many museums."],
    )

    query: Readable
    texts: TextList
    raw_scores: bool = False
    return_text: bool = False
    top_n: Count | None = Field(None, description="not TEI's, but LiteLLM's; all, unless given")


class TeiRank(BaseModel):
    index: int
    score: float
    text: str | None = None


async def tei_ranks(
    body: TeiRerankBody, model: str | None, services: Services
) -> tuple[list[dict[str, Any]], str]:
    """``[{index, score, text?}]``, best first, and the model; scores from 0 to 1 unless raw."""
    card = await services.catalog.resolve(RERANK, model, "model")
    ranked = await rank_documents(
        body.query, body.texts, card, services, truncate=body.truncates, field="texts"
    )
    refuse(ranked.problems, "texts")
    ranks = [
        {
            "index": index,
            "score": ranked.scores[index] if body.raw_scores else ranked.relevance(index),
            **({"text": body.texts[index]} if body.return_text else {}),
        }
        for index in ranked.order[: body.top_n]
    ]
    return ranks, card.name
