"""Native routes over vectors: what reaches the model, and which text is at fault."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from deployments.seam.embeddings import ClusterResult, EmbeddingRequest, EmbeddingResult
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.local_handle import Family

LONG = Problem("validation", "the text has 99 tokens")


def embedded(*rows: list[float], problems: dict[int, Problem] | None = None) -> EmbeddingResult:
    return EmbeddingResult(np.asarray(rows, np.float32), (2,) * len(rows), problems or {})


async def posted(path: str, answer: Any, body: dict[str, Any], **settings: Any) -> httpx.Response:
    application = house.app({"embeddings": Family(answer)}, **settings)
    return await house.post(application, NATIVE + path, body)


def named(response: httpx.Response) -> list[str]:
    assert response.status_code == 400, response.text
    return list(response.json()["details"]["field_errors"])


async def test_one_text_gives_one_flat_vector_and_a_list_a_list() -> None:
    one = await posted("/embeddings", embedded([1, 0]), {"texts": "a"})
    assert one.json()["embeddings"] == [1.0, 0.0]
    listed = await posted("/embeddings", embedded([1, 0]), {"texts": ["a"]})
    assert listed.json()["embeddings"] == [[1.0, 0.0]]


async def test_what_is_said_is_what_reaches_the_model() -> None:
    family = Family(embedded([1, 0]), embedded([1, 0]))
    application = house.app({"embeddings": family})
    await house.post(application, f"{NATIVE}/embeddings", {"texts": "a"})
    given = {"normalize": False, "truncate": True, "batch_size": 3}
    await house.post(application, f"{NATIVE}/embeddings", {"texts": "a", **given})
    assert family.asked == [
        EmbeddingRequest("house/vectors", ("a",), normalize=True, truncate=False),
        EmbeddingRequest("house/vectors", ("a",), False, True, 3),
    ]


async def test_every_text_at_fault_is_named_by_its_place() -> None:
    """Whoever finds the fault: the ingress in the first two, the model in the last."""
    body = {"texts": [" ", "a", "x" * 20, "b"]}
    answer = embedded([1, 0], [0, 0], problems={1: LONG})
    response = await posted("/embeddings", answer, body, max_prompt_bytes=10)
    assert named(response) == ["texts.0", "texts.2", "texts.3"]


async def test_a_text_that_the_model_refuses_is_named_by_its_place() -> None:
    answer = embedded([1, 0], [0, 0], problems={1: LONG})
    assert named(await posted("/embeddings", answer, {"texts": ["a", "b"]})) == ["texts.1"]


async def test_a_search_names_the_candidate_that_the_model_refuses() -> None:
    answer = embedded([1, 0], [1, 0], [0, 0], problems={2: LONG})
    body = {"query_text": "q", "candidate_texts": ["a", "b"]}
    assert named(await posted("/search", answer, body)) == ["candidate_texts.1"]
    answer = embedded([0, 0], [1, 0], [1, 0], problems={0: LONG})
    assert named(await posted("/search", answer, body)) == ["query_text"]


async def test_a_search_is_best_first_and_keeps_the_order_of_equals() -> None:
    answer = embedded([1, 0], [0, 1], [1, 0], [0, 1])
    body = {"query_text": "q", "candidate_texts": ["a", "b", "c"], "top_k": 3}
    results = (await posted("/search", answer, body)).json()["results"]
    assert [(found["text"], found["index"]) for found in results] == [("b", 1), ("a", 0), ("c", 2)]


async def test_rounding_takes_no_similarity_beyond_one() -> None:
    long = [1.0000001, 0]
    answer = embedded(long, long, [-1.0000001, 0])
    body = {"query_text": "q", "candidate_texts": ["a", "b"]}
    results = (await posted("/search", answer, body)).json()["results"]
    assert [found["similarity"] for found in results] == [1.0, -1.0]


async def test_a_body_that_is_no_object_is_refused_without_the_name_of_a_class() -> None:
    answered = await house.post(house.app({}), f"{NATIVE}/embeddings", [])
    assert answered.status_code == 400
    assert answered.json()["message"] == "body: expected an object"


@pytest.mark.parametrize(("first", "second"), [("a", [0.0, 1.0]), ([0.0, 1.0], "a")])
async def test_a_text_and_a_vector_can_be_compared(first: Any, second: Any) -> None:
    response = await posted("/similarity", embedded([0, 1]), {"text1": first, "text2": second})
    assert response.json()["similarity"] == 1.0


async def test_two_vectors_need_no_model() -> None:
    response = await posted("/similarity", None, {"text1": [3.0, 0.0], "text2": [-1.0, 0.0]})
    assert response.json()["similarity"] == -1.0


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e308, 5e-324])
async def test_vectors_of_any_length_have_an_angle(size: float) -> None:
    body = {"text1": [size, 0.0], "text2": [-size, size]}
    found = (await posted("/similarity", None, body)).json()["similarity"]
    assert found == pytest.approx(-(0.5**0.5))


@pytest.mark.parametrize(
    ("vectors", "field"),
    [(([1.0], [1.0, 2.0]), "text2"), (([0.0], [1.0]), "text1"), (([1.0], [0.0]), "text2")],
)
async def test_vectors_without_an_angle_are_named(
    vectors: tuple[list[float], list[float]], field: str
) -> None:
    body = dict(zip(("text1", "text2"), vectors, strict=True))
    assert named(await posted("/similarity", None, body)) == [field]


@pytest.mark.parametrize(
    ("text", "names"), [(7, ["text1"]), ([], ["text1"]), ([0.5, "x"], ["text1.1"])]
)
async def test_what_is_neither_text_nor_vector_is_named_as_what_it_was_meant(
    text: Any, names: list[str]
) -> None:
    response = await posted("/similarity", None, {"text1": text, "text2": "a"})
    assert named(response) == names


async def test_clusters_are_ordered_by_number_with_each_texts_place() -> None:
    labels = (10, 2, 10)
    answer = ClusterResult(labels, np.zeros((2, 2), np.float32))
    body = {"texts": ["a", "b", "c"], "n_clusters": 2}
    clusters = (await posted("/cluster", answer, body)).json()["clusters"]
    assert list(clusters) == ["2", "10"]
    assert clusters["10"] == [{"text": "a", "index": 0}, {"text": "c", "index": 2}]


async def test_the_clusters_that_are_there_are_counted() -> None:
    answer = ClusterResult((0, 0, 1), np.zeros((2, 2), np.float32))
    body = {"texts": ["a", "a", "b"], "n_clusters": 3}
    found = (await posted("/cluster", answer, body)).json()
    assert (found["n_clusters"], len(found["clusters"]), len(found["cluster_centers"])) == (2, 2, 2)


async def test_more_clusters_than_texts_are_refused_by_name() -> None:
    body = {"texts": ["a"], "n_clusters": 2}
    assert named(await posted("/cluster", None, body)) == ["n_clusters"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/embeddings", {"texts": ["a"] * 4}, "texts"),
        ("/search", {"query_text": "q", "candidate_texts": ["a"] * 4}, "candidate_texts"),
        ("/cluster", {"texts": ["a"] * 4, "n_clusters": 1}, "texts"),
    ],
)
async def test_more_texts_than_allowed_are_refused_by_name(
    path: str, body: dict[str, Any], field: str
) -> None:
    response = await posted(path, None, body, max_texts=3)
    assert [name.partition(".")[0] for name in named(response)] == [field]


async def test_a_search_may_have_as_many_candidates_as_allowed() -> None:
    answer = embedded(*[[1.0, 0.0]] * 4)
    body = {"query_text": "q", "candidate_texts": ["a"] * 3}
    assert (await posted("/search", answer, body, max_texts=3)).status_code == 200
