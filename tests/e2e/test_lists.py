"""Lists of 64 texts, three of them bad: 61 answers and three errors, or a 400 that names the three.

The bad texts have different faults; the ingress finds two of them and the model the third.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

NATIVE = "/api/v1/huggingface"
EMPTY, BYTES, TOKENS = 7, 32, 63
BAD = [EMPTY, BYTES, TOKENS]
GOOD = [
    "A short one.",
    "The bridge over the river was closed for repairs, " * 3,
    "¿Dónde está José García?",
    "私は東京に住んでいます。",
    "🦊🐻",
    "Add two cups of flour, then bake it.",
    "x",
    "line one\nline two\ttabbed",
]


def texts(last: str = "word " * 5000) -> list[str]:
    """64 texts of all lengths and scripts; the last has too many tokens, unless given."""
    items = [f"{GOOD[i % len(GOOD)]} ({i})" for i in range(64)]
    items[EMPTY], items[BYTES], items[TOKENS] = " \n", "x" * (101 * 1024), last
    return items


@pytest.mark.parametrize(
    ("route", "options", "key"),
    [
        ("classify", {}, "sentiment"),
        ("classify", {"labels": ["cooking", "traffic"]}, "top_prediction"),
        ("topics", {}, "category"),
        ("topics", {"labels": ["cooking", "traffic"]}, "top_prediction"),
    ],
)
def test_labels(client: httpx.Client, route: str, options: dict[str, Any], key: str) -> None:
    given = texts()
    response = client.post(f"{NATIVE}/{route}", json={"texts": given, **options})
    assert response.status_code == 200, response.text
    items = response.json()
    assert [index for index, item in enumerate(items) if "error" in item] == BAD
    good = [index for index in range(64) if index not in BAD]
    assert [items[index]["text"] for index in good] == [given[index] for index in good]
    assert all(items[index][key] for index in good)
    assert {items[index]["error"]["error_type"] for index in BAD} == {"validation_error"}


def test_entities(client: httpx.Client) -> None:
    given = texts(last="")  # no text has too many tokens: long ones are read in windows
    items = client.post(f"{NATIVE}/entities", json={"texts": given}).json()
    assert [index for index, item in enumerate(items) if "error" in item] == BAD
    for text, item in zip(given, items, strict=True):
        for entity in item.get("entities", ()):
            assert text[entity["start"] : entity["end"]] == entity["text"]
    jose = items[2]["entities"]
    assert [entity["text"] for entity in jose] == ["José", "García"]


def test_summaries(client: httpx.Client) -> None:
    body = {"texts": texts("word " * 9000), "max_length": 3, "min_length": 1}
    response = client.post(f"{NATIVE}/summarize", json=body)
    assert response.status_code == 200, response.text
    summaries = response.json()["summaries"]
    assert [index for index, item in enumerate(summaries) if isinstance(item, dict)] == BAD
    assert all(summary.strip() for summary in summaries if isinstance(summary, str))


def test_documents(client: httpx.Client) -> None:
    body = {"query": "How is bread made?", "documents": texts()}
    response = client.post(f"{NATIVE}/rerank", json=body)
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [each["index"] for each in results if "error" in each] == BAD
    scored = [each for each in results if "error" not in each]
    assert len(scored) == 61
    assert "flour" in scored[0]["document"]


@pytest.mark.parametrize(
    ("route", "field", "options"),
    [
        ("embeddings", "texts", {}),
        ("cluster", "texts", {"n_clusters": 3}),
        ("search", "candidate_texts", {"query_text": "bread"}),
    ],
)
def test_vectors_name_all_three_bad_texts(
    client: httpx.Client, route: str, field: str, options: dict[str, Any]
) -> None:
    """All three at once, although the model finds one of them and the ingress the others."""
    response = client.post(f"{NATIVE}/{route}", json={field: texts(), **options})
    assert response.status_code == 400, response.text
    named = response.json()["details"]["field_errors"]
    assert set(named) == {f"{field}.{index}" for index in BAD}


@pytest.mark.parametrize(
    ("route", "field", "options"),
    [
        ("classify", "texts", {}),
        ("topics", "texts", {}),
        ("entities", "texts", {}),
        ("summarize", "texts", {}),
        ("embeddings", "texts", {}),
        ("cluster", "texts", {}),
        ("search", "candidate_texts", {"query_text": "bread"}),
        ("rerank", "documents", {"query": "bread"}),
    ],
)
def test_the_first_item_that_is_no_text_is_named(
    client: httpx.Client, route: str, field: str, options: dict[str, Any]
) -> None:
    items: list[Any] = [f"text {i}" for i in range(64)]
    items[EMPTY], items[BYTES], items[TOKENS] = None, 7, ["nested"]
    response = client.post(f"{NATIVE}/{route}", json={field: items, **options})
    assert response.status_code == 400
    named = response.json()["details"]["field_errors"]
    assert list(named) == [f"{field}.{min(BAD)}"]
