"""Zero-shot classification and topics over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

NATIVE = "/api/v1/huggingface"
LABELS = ["sports", "politics", "technology", "cooking"]
TEXTS = {
    "The striker scored twice in the final and the fans celebrated.": "sports",
    "The parliament passed a new law on taxes after the speech.": "politics",
    "Apple released a new phone with a faster chip and better camera.": "technology",
    "Add two cups of flour, an egg and butter, then bake it.": "cooking",
}


def post(client: httpx.Client, route: str, **body: Any) -> Any:
    response = client.post(f"{NATIVE}/{route}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("route", ["classify", "topics"])
@pytest.mark.parametrize(("text", "label"), TEXTS.items())
def test_the_label_that_fits_is_first(
    client: httpx.Client, route: str, text: str, label: str
) -> None:
    answer = post(client, route, texts=text, labels=LABELS)
    assert {"model", "request_id", "execution_time"} <= set(answer)
    assert answer["text"] == text
    scores = [prediction["score"] for prediction in answer["predictions"]]
    assert answer["top_prediction"] == answer["predictions"][0]
    assert answer["top_prediction"]["label"] == label
    assert sorted(prediction["label"] for prediction in answer["predictions"]) == sorted(LABELS)
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1.0)
    assert scores[0] > 0.5


def test_multi_label_scores_each_label_by_itself(client: httpx.Client) -> None:
    text = next(iter(TEXTS))
    alone = post(client, "classify", texts=text, labels=["sports"], multi_label=True)
    among = post(client, "classify", texts=text, labels=LABELS, multi_label=True)
    found = {each["label"]: each["score"] for each in among["predictions"]}
    assert among["top_prediction"]["label"] == "sports"
    assert alone["top_prediction"]["score"] == pytest.approx(found["sports"], rel=1e-3)
    assert post(client, "classify", texts=text, labels=["sports"])["top_prediction"]["score"] == 1


def test_bad_texts_fail_alone(client: httpx.Client) -> None:
    texts = [f"The team won game {i}." for i in range(61)]
    texts[10:10] = [""]
    texts[30:30] = ["word " * 5000]
    texts[50:50] = ["x" * (101 * 1024)]
    items = post(client, "classify", texts=texts, labels=["sports", "cooking"])
    bad = [index for index, item in enumerate(items) if "error" in item]
    assert len(items) == 64
    assert bad == [10, 30, 50]
    good = [item for item in items if "error" not in item]
    assert all(item["top_prediction"]["label"] == "sports" for item in good)
    assert [item["text"] for item in good] == [t for i, t in enumerate(texts) if i not in bad]


def test_a_long_text_is_truncated_only_on_request(client: httpx.Client) -> None:
    text = f"{next(iter(TEXTS))} " * 60
    body = {"texts": text, "labels": LABELS}
    response = client.post(f"{NATIVE}/classify", json=body)
    assert response.status_code == 400
    assert "512" in response.json()["details"]["field_errors"]["texts"]
    answer = post(client, "classify", texts=text, labels=LABELS, truncate=True)
    assert answer["top_prediction"]["label"] == "sports"


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("labels", {"labels": []}),
        ("labels", {"labels": ["a", "b", "a"]}),
        ("labels", {"labels": [str(i) for i in range(65)]}),
        ("labels", {"labels": ["a", ""]}),
        ("labels", {"labels": ["  "]}),
        ("labels", {"labels": ["x" * 257]}),
        ("labels", {"labels": "sports"}),
        ("multi_label", {"multi_label": True}),
        ("texts", {"texts": ["a"] * 200, "labels": [str(i) for i in range(64)]}),
    ],
)
def test_values_out_of_bounds_are_named(
    client: httpx.Client, field: str, more: dict[str, Any]
) -> None:
    response = client.post(f"{NATIVE}/classify", json={"texts": "a", **more})
    assert response.status_code == 400, response.text
    errors = response.json()["details"]["field_errors"]
    assert all(name.partition(".")[0] == field for name in errors)


def test_a_sentiment_model_takes_no_labels(client: httpx.Client) -> None:
    model = "prsm-serve/sentiment-bge-small-en"
    response = client.post(
        f"{NATIVE}/classify", json={"texts": "a", "labels": ["a"], "model_name": model}
    )
    assert response.status_code == 404
    assert model not in response.json()["details"]["available"]


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("The team won the championship game in overtime.", "sports"),
        ("Beat the eggs and add the flour, then bake.", "food"),
        ("The vaccine protects children against measles.", "health"),
        ("The senate voted on the new election law.", "politics"),
        ("Our flight to Rome and the hotel were booked for June.", "travel"),
    ],
)
def test_topics_of_texts(client: httpx.Client, text: str, category: str) -> None:
    answer = post(client, "topics", texts=text)
    assert (answer["text"], answer["category"]) == (text, category)
    assert 0.1 < answer["confidence"] <= 1


def test_topics_of_a_list_are_a_bare_list(client: httpx.Client) -> None:
    texts = [*list(TEXTS)[:2], " "]
    response = client.post(f"{NATIVE}/topics", json={"texts": texts})
    first, second, bad = response.json()
    assert (first["category"], second["category"]) == ("sports", "politics")
    assert bad["error"]["error_type"] == "validation_error"
    assert response.headers["x-model"]
