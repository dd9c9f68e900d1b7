"""Answers with many numbers are written in pieces, and read as if they were not."""

from __future__ import annotations

import base64
import json
from math import ceil
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from deployments.seam.embeddings import EmbeddingResult
from serve_app.ingress.json_pieces import PIECE_NUMBERS, Base64, encoded, encoded_in_pieces
from serve_app.ingress.loop_turns import LoopTurns
from tests.serve_app import house
from tests.serve_app.ingress.routes.one_family import application
from tests.serve_app.local_handle import Family

WIDTH = 1000
VECTORS = (np.arange(150 * WIDTH).reshape(150, WIDTH) / 7).astype(np.float32)
PIECES = ceil(VECTORS.size / PIECE_NUMBERS)


class CountedTurns(LoopTurns):
    """Counts the pieces that began."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0

    async def next(self) -> None:
        await super().next()
        self.pieces += 1


LARGE = {
    "an array": VECTORS,
    "a flat array": VECTORS.reshape(-1),
    "a list of arrays": list(VECTORS),
    "objects": [{"index": i, "embedding": vector} for i, vector in enumerate(VECTORS)],
    "lists": VECTORS.tolist(),
    "base64": [{"index": i, "embedding": Base64(vector)} for i, vector in enumerate(VECTORS)],
    "in an object": {"model": "ж", "embeddings": {"float": VECTORS, "ubinary": [[1], [2]]}},
    "in a graph": {"outputs": {"a": {"embeddings": VECTORS}, "b": {"texts": ["x"] * 20}}},
}


@pytest.mark.parametrize("name", LARGE)
async def test_the_pieces_are_the_answer(name: str) -> None:
    turns = CountedTurns()
    assert await encoded_in_pieces(LARGE[name], turns) == encoded(LARGE[name])
    assert PIECES <= turns.pieces <= PIECES + 1


def test_base64_is_of_little_endian_floats() -> None:
    (text,) = json.loads(encoded([Base64(VECTORS[1])]))
    assert np.array_equal(np.frombuffer(base64.b64decode(text), "<f4"), VECTORS[1])


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        encoded({"a": object()})


@pytest.mark.parametrize(
    "value",
    [{}, [], None, {"embeddings": VECTORS[0]}, [VECTORS[0]], VECTORS[:0], {"texts": ["a"] * 2048}],
)
async def test_small_answers_are_written_at_once(value: Any) -> None:
    turns = CountedTurns()
    assert await encoded_in_pieces(value, turns) == encoded(value)
    assert turns.pieces == 0


async def test_no_piece_has_more_than_so_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def noted(body: Any) -> bytes:
        if isinstance(body, np.ndarray):
            sizes.append(body.size)
        return encoded(body)

    monkeypatch.setattr("serve_app.ingress.json_pieces.encoded", noted)
    await encoded_in_pieces({"embeddings": VECTORS}, LoopTurns())
    assert sum(sizes) == VECTORS.size
    assert max(sizes) <= PIECE_NUMBERS


@pytest.mark.parametrize(
    ("router", "path", "field"),
    [
        ("embeddings", f"{house.NATIVE}/embeddings", "texts"),
        ("openai.embeddings", "/v1/embeddings", "input"),
        ("cohere.embed", "/v2/embed", "texts"),
        ("cohere.embed", "/v1/embed", "texts"),
        ("tei.embed", "/embed", "inputs"),
        ("vllm.pooling", "/pooling", "input"),
    ],
)
async def test_every_route_with_vectors_writes_them_in_pieces(
    router: str, path: str, field: str
) -> None:
    turns = CountedTurns()
    answer = await posted(router, path, {field: ["a"] * len(VECTORS)}, turns)
    rows = [row for row in lists_in(answer) if len(row) == WIDTH]
    assert np.array_equal(np.asarray(rows, np.float32), VECTORS)
    assert PIECES <= turns.pieces <= PIECES + 1


@pytest.mark.parametrize(
    ("router", "path", "field", "asking"),
    [
        ("openai.embeddings", "/v1/embeddings", "input", {"encoding_format": "base64"}),
        ("cohere.embed", "/v2/embed", "texts", {"embedding_types": ["base64"]}),
        ("vllm.pooling", "/pooling", "input", {"encoding_format": "base64"}),
    ],
)
async def test_vectors_in_base64_are_written_in_pieces_too(
    router: str, path: str, field: str, asking: dict[str, Any]
) -> None:
    turns = CountedTurns()
    answer = await posted(router, path, {field: ["a"] * len(VECTORS), **asking}, turns)
    last = base64.b64encode(VECTORS[-1].tobytes()).decode()
    assert last in json.dumps(answer)
    assert PIECES <= turns.pieces <= PIECES + 1


async def test_a_graph_writes_the_vectors_of_a_step_in_pieces() -> None:
    turns = CountedTurns()
    step = {"id": "a", "task": "embeddings", "inputs": {"texts": ["a"] * len(VECTORS)}}
    answer = await posted("embeddings", f"{house.NATIVE}/graph", {"steps": [step]}, turns)
    found = np.asarray(answer["outputs"]["a"]["embeddings"], np.float32)
    assert np.array_equal(found, VECTORS)
    assert turns.pieces >= PIECES


async def posted(router: str, path: str, body: Any, turns: LoopTurns) -> Any:
    """The answer of a route whose model makes ``VECTORS``, and which writes by ``turns``."""
    result = EmbeddingResult(VECTORS, (1,) * len(VECTORS), {})
    app = _with_turns(application(Family(result), router, "embed"), turns)
    response = await house.post(app, path, body)
    assert response.status_code == 200, response.text
    return json.loads(response.content)


def _with_turns(app: FastAPI, turns: LoopTurns) -> FastAPI:
    object.__setattr__(app.state.services, "turns", turns)  # frozen, as no route may change it
    return app


def lists_in(value: Any) -> list[list[Any]]:
    """All lists within an answer, in their order."""
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list):
        return []
    here = [items] if isinstance(value, list) else []
    return here + [each for item in items for each in lists_in(item)]
