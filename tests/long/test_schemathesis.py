"""At least 2,000 requests made of the OpenAPI document, over HTTP, to a running graph."""

from __future__ import annotations

import sys
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis import Case
from schemathesis.core.transport import Response

from tests.e2e.conftest import Graph
from tests.serve_app.api_cases import tried

MIN_CASES = 2000
TIMEOUT_S = 300.0

LEFT_OUT = frozenset(
    {
        "POST /api/v1/huggingface/images/generate",
        "POST /v1/images/generations",
    }
)
"""On a processor an image takes a minute; ``tests/serve_app/test_api_cases.py`` tries these."""

MODELS = {
    "/embed": "all-MiniLM-L6-v2",
    "/v1/embeddings": "all-MiniLM-L6-v2",
    "/similarity": "all-MiniLM-L6-v2",
    "/search": "all-MiniLM-L6-v2",
    "/cluster": "all-MiniLM-L6-v2",
    "/pooling": "all-MiniLM-L6-v2",
    "/rerank": "ms-marco-MiniLM-L12-v2",
    "/score": "ms-marco-MiniLM-L12-v2",
    "/predict": "sentiment-bge-small-en",
}
GENERATES = "SmolLM2-135M-Instruct"
SHORT = {
    "max_tokens": 4,
    "max_completion_tokens": 4,
    "max_new_tokens": 4,
    "max_output_tokens": 4,
    "max_length": 60,
    "min_tokens": 1,
    "min_new_tokens": 1,
    "n": 2,
    "num_return_sequences": 2,
    "best_of": 2,
}
"""Bounds of what is generated, where a request has its own: 2,000 long texts would take hours."""

UNBOUNDED = {
    "/chat/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
    "/huggingface/generate": "max_new_tokens",
    "/generate/stream": "max_new_tokens",
    "/query": "max_tokens",
}
"""Routes that generate up to a bound of their own where a request has none, and the field."""


def model_for(path: str) -> str:
    return next((name for end, name in MODELS.items() if path.endswith(end)), GENERATES)


def shorten(path: str, body: object) -> None:
    if not isinstance(body, dict):
        return
    for name, most in SHORT.items():
        given = body.get(name)
        if isinstance(given, int | float) and not isinstance(given, bool) and given > most:
            body[name] = most
    if isinstance(parameters := body.get("parameters"), dict):
        shorten("", parameters)
    field = next((field for end, field in UNBOUNDED.items() if path.endswith(end)), None)
    if field is not None and not any("max_" in name and body[name] for name in body):
        body[field] = SHORT[field]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_answers_are_as_the_document_says(graph: Graph) -> None:
    document = httpx.get(f"{graph.url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)

    def call(case: Case[Any]) -> Response:
        if case.meta is not None and case.meta.generation.mode.is_positive:
            shorten(case.path, case.body)
        return case.call(base_url=graph.url, timeout=TIMEOUT_S)

    done = tried(schema, 16, call, model_for, LEFT_OUT)
    told = f"{done.requests} requests to {len(done.operations)} operations: {dict(done.statuses)}"
    sys.stdout.write("\n".join([told, *done.faults, ""]))
    assert done.faults == []
    assert done.requests >= MIN_CASES
    assert done.statuses[200] > MIN_CASES // 5, "most of what fits is answered"
