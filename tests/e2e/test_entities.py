"""Entities over HTTP: personal data with its offsets in the text."""

from __future__ import annotations

from typing import Any

import httpx

ENTITIES = "/api/v1/huggingface/entities"
ANNA = "My name is Anna Schmidt and I moved to São Paulo last May."


def found(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entity["label"], entity["text"]) for entity in answer["entities"]]


def test_names_and_places_are_found_where_they_are(client: httpx.Client) -> None:
    answer = client.post(ENTITIES, json={"texts": ANNA}).json()
    assert {"model", "request_id", "execution_time"} <= set(answer)
    expected = [("GIVEN_NAME", "Anna"), ("SURNAME", "Schmidt"), ("CITY", "São Paulo")]
    assert found(answer) == expected
    for entity in answer["entities"]:
        assert ANNA[entity["start"] : entity["end"]] == entity["text"]
        assert 0.5 < entity["confidence"] <= 1


def test_offsets_count_characters_of_every_script(client: httpx.Client) -> None:
    text = "😀😀 你好 — José García moved to São Paulo last May."
    answer = client.post(ENTITIES, json={"texts": text}).json()
    expected = [("GIVEN_NAME", "José"), ("SURNAME", "García"), ("CITY", "São Paulo")]
    assert found(answer) == expected
    assert all(text[e["start"] : e["end"]] == e["text"] for e in answer["entities"])


def test_an_address_is_one_entity(client: httpx.Client) -> None:
    text = "Please write to anna.schmidt@example.com today."
    answer = client.post(ENTITIES, json={"texts": text}).json()
    assert ("EMAIL", "anna.schmidt@example.com") in found(answer)


def test_a_long_text_is_read_to_its_end(client: httpx.Client) -> None:
    filler = "The weather was fine and nobody had anything to say about it. " * 60
    text = f"{filler}{ANNA} {filler}{ANNA}"
    answer = client.post(ENTITIES, json={"texts": text}).json()
    people = [entity for entity in answer["entities"] if entity["text"] == "Schmidt"]
    assert [text.index("Schmidt"), text.rindex("Schmidt")] == [each["start"] for each in people]


def test_no_entities_are_an_empty_list(client: httpx.Client) -> None:
    assert client.post(ENTITIES, json={"texts": "Water boils."}).json()["entities"] == []


def test_bad_texts_fail_alone(client: httpx.Client) -> None:
    texts = [ANNA] * 61
    texts[10:10] = [""]
    texts[30:30] = ["  \n"]
    texts[50:50] = ["x" * (101 * 1024)]
    response = client.post(ENTITIES, json={"texts": texts})
    items = response.json()
    assert response.headers["x-model"]
    assert [index for index, item in enumerate(items) if "error" in item] == [10, 30, 50]
    assert all(len(item["entities"]) == 3 for item in items if "error" not in item)
    assert len(items) == 64


def test_there_is_nothing_to_truncate(client: httpx.Client) -> None:
    response = client.post(ENTITIES, json={"texts": ANNA, "truncate": True})
    assert response.status_code == 400
    assert "truncate" in response.json()["details"]["field_errors"]
