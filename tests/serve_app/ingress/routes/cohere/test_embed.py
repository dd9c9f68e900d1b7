"""``POST /v2/embed`` and ``/v1/embed``."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from deployments.seam.embeddings import EmbeddingResult
from tests.serve_app.ingress.routes.huggingface.hub import MODEL
from tests.serve_app.ingress.routes.other import post, sent
from tests.serve_app.local_handle import Family

VECTORS = np.asarray([[0.5, -0.5, 0.25, 0, 0, 0, 0, 1], [-1] * 8], np.float32)
TEXTS = ["a", "b"]


def family() -> Family:
    return Family(EmbeddingResult(VECTORS, (2, 3)))


async def test_vectors_come_by_type() -> None:
    types = ["float", "base64", "binary", "ubinary"]
    body = {"texts": TEXTS, "input_type": "search_query", "embedding_types": types}
    for path, version in (("/v2/embed", "2"), ("/v1/embed", "1")):
        answer = await post(family(), "embed", path, body)
        found = answer["embeddings"]
        assert found["float"] == VECTORS.tolist()
        raw = base64.b64decode(found["base64"][0])
        assert np.frombuffer(raw, "<f4").tolist() == VECTORS[0].tolist()
        assert found["ubinary"] == [[0b10100001], [0]]
        assert found["binary"] == [[0b10100001 - 128], [-128]]
        assert (answer["texts"], answer["response_type"]) == (TEXTS, "embeddings_by_type")
        assert answer["meta"]["billed_units"] == {"input_tokens": 5}
        assert answer["meta"]["api_version"] == {"version": version}


async def test_without_types_the_first_api_answers_a_bare_list_and_the_second_floats() -> None:
    body = {"texts": TEXTS, "input_type": "search_document"}
    first = await post(family(), "embed", "/v1/embed", body)
    assert first["embeddings"] == VECTORS.tolist()
    assert first["response_type"] == "embeddings_floats"
    second = await post(family(), "embed", "/v2/embed", body)
    assert second["embeddings"] == {"float": VECTORS.tolist()}


@pytest.mark.parametrize(
    ("input_type", "prompts"),
    [
        (None, ()),
        ("search_query", ("query",)),
        ("search_document", ("document", "passage", "corpus")),
        ("clustering", ("clustering",)),
    ],
)
async def test_the_type_of_the_input_chooses_the_prompt(
    input_type: str | None, prompts: tuple[str, ...]
) -> None:
    asked = family()
    await post(asked, "embed", "/v2/embed", {"texts": TEXTS, "input_type": input_type})
    assert asked.asked[0].preferred_prompts == prompts


@pytest.mark.parametrize(("truncate", "cuts"), [(None, True), ("END", True), ("NONE", False)])
async def test_long_texts_are_cut_unless_the_request_says_none(
    truncate: str | None, cuts: bool
) -> None:
    asked = family()
    body = {"texts": TEXTS, "truncate": truncate, "output_dimension": 4}
    await post(asked, "embed", "/v2/embed", body)
    assert (asked.asked[0].truncate, asked.asked[0].dimensions) == (cuts, 4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"texts": []}, "texts"),
        ({"texts": ["a", ""]}, "texts.1"),
        ({"embedding_types": ["int8"]}, "embedding_types.0"),
        ({"input_type": "image"}, "input_type"),
        ({"truncate": "START"}, "truncate"),
        ({"images": ["data:"]}, "images"),
        ({"model": "embed-v4.0"}, MODEL),
    ],
)
@pytest.mark.parametrize("path", ["/v1/embed", "/v2/embed"])
async def test_what_cannot_be_had_is_named(path: str, change: dict[str, Any], named: str) -> None:
    body = {"texts": ["a"]} | change
    response = await sent(Family(EmbeddingResult(VECTORS[:1], (2,))), "embed", path, body)
    assert response.status_code == (404 if "model" in change else 400)
    assert set(response.json()) == {"id", "message"}
    assert named in response.json()["message"]


async def test_a_type_named_twice_is_encoded_once_and_a_long_list_is_refused() -> None:
    body: dict[str, Any] = {"texts": TEXTS, "input_type": "clustering"}
    answer = await post(family(), "embed", "/v2/embed", body | {"embedding_types": ["float"] * 4})
    assert answer["embeddings"] == {"float": VECTORS.tolist()}
    refused = await sent(family(), "embed", "/v2/embed", body | {"embedding_types": ["float"] * 5})
    assert refused.status_code == 400
    assert "embedding_types" in refused.text
