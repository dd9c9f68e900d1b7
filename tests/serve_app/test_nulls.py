"""``null`` for a field that may be left out is as leaving it out, on every surface alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.serve_app.bodies import Place, places
from tests.serve_app.embedded import application, routers
from tests.serve_app.house import NATIVE
from tests.serve_app.json_post import json_post


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    async with application(tmp_path) as made:
        yield made


async def outcome(app: FastAPI, place: Place, value: Any) -> tuple[int, Any]:
    """The status of the answer, and which fields are at fault in whose words."""
    status, body = await json_post(app, place.route, place.filled(json.dumps(value).encode()))
    answer = json.loads(body or b"{}")  # a notification has none
    return status, answer.get("details", answer.get("error"))


async def test_null_changes_nothing_for_any_field_that_may_be_left_out(app: FastAPI) -> None:
    tried = reached = 0
    for place in places(app.openapi(), routers(), app.state.services.catalog):
        optional = set(place.schema.get("properties", ())) - set(place.schema.get("required", ()))
        for name in optional:
            without = {key: each for key, each in place.sample.items() if key != name}
            left_out = await outcome(app, place, without)
            assert await outcome(app, place, {**without, name: None}) == left_out, (place, name)
            tried += 1
            reached += left_out[0] == 429  # the model was asked
    assert tried > 300
    assert reached > 150


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/embeddings", {"input": "a", "encoding_format": None, "truncate": None}),
        ("/v1/rerank", {"query": "a", "documents": ["b"], "return_documents": None}),
        (f"{NATIVE}/embeddings", {"texts": "a", "normalize": None, "truncate": None}),
        (f"{NATIVE}/search", {"query_text": "a", "candidate_texts": ["b"], "top_k": None}),
        (f"{NATIVE}/generate", {"prompt": "a", "stream": None, "num_return_sequences": None}),
        (f"{NATIVE}/summarize", {"texts": "a", "max_length": None, "min_length": None}),
        (f"{NATIVE}/generate", {"prompt": "a", "do_sample": None, "stop": None}),
    ],
)
async def test_fields_that_clients_send_as_null(
    app: FastAPI, route: str, body: dict[str, Any]
) -> None:
    assert (await json_post(app, route, json.dumps(body).encode()))[0] == 429


async def test_null_in_a_steps_inputs_and_through_a_reference(app: FastAPI) -> None:
    graph = {
        "input": {"nothing": None},
        "steps": [
            {"id": "a", "task": "classify", "inputs": {"texts": "a", "labels": None}},
            {"id": "b", "task": "classify", "inputs": {"texts": "a", "truncate": "$input.nothing"}},
            {"id": "c", "task": "search", "inputs": None},
        ],
        "outputs": None,
    }
    status, body = await json_post(app, f"{NATIVE}/graph", json.dumps(graph).encode())
    assert status == 400
    found = json.loads(body)["details"]["field_errors"]
    assert set(found) == {"steps.2.inputs.query_text", "steps.2.inputs.candidate_texts"}


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("/v1/embeddings", {"input": None}, "input"),
        (f"{NATIVE}/rerank", {"query": "a", "documents": None}, "documents"),
        (f"{NATIVE}/rerank", {"query": "a", "documents": ["b"], "unknown": None}, "unknown"),
        ("/v1/chat/completions", {"messages": [None]}, "messages.0"),
        ("/v1/chat/completions", {"messages": [{"role": None, "content": "a"}]}, "messages.0.role"),
    ],
)
async def test_a_required_field_is_not_null(
    app: FastAPI, route: str, body: dict[str, Any], field: str
) -> None:
    status, answer = await json_post(app, route, json.dumps(body).encode())
    assert status == 400
    assert f"{field}: " in answer.decode()
