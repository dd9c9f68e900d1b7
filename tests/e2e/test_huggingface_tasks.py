"""``huggingface_hub``'s own client for vectors, labels, entities and images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
import sklearn.datasets
from huggingface_hub import errors
from PIL import Image

from tests.e2e.conftest import Open
from tests.shapes.drawing import Shape, draw

SQUARE = (40, 40, 120, 120)
PHOTOS = Path(sklearn.datasets.__file__).parent / "images"


def test_vectors(at: Open) -> None:
    client = at("sentence-transformers/all-MiniLM-L6-v2")
    assert client.feature_extraction("a cat").shape == (1, 384)
    cat, kitten, stocks = client.feature_extraction(["a cat", "a kitten", "stocks fell"])
    assert float(cat @ kitten) > 0.6 > 0.2 > float(cat @ stocks)
    (raw,) = client.feature_extraction("a cat", normalize=False)
    assert float(raw @ raw) != pytest.approx(1, abs=0.01)
    assert client.feature_extraction("a cat", dimensions=8).shape == (1, 8)
    assert client.feature_extraction("word " * 900, truncate=True).shape == (1, 384)
    with pytest.raises(errors.BadRequestError, match="256"):
        client.feature_extraction("word " * 900)
    with pytest.raises(errors.BadRequestError, match="no prompt 'nonsense'"):
        client.feature_extraction("a cat", prompt_name="nonsense")


def test_sentences_are_compared(at: Open) -> None:
    near, far = at("all-MiniLM-L6-v2").sentence_similarity(
        "a cat", other_sentences=["a kitten", "stocks fell"]
    )
    assert near > 0.6 > 0.2 > far


def test_texts_are_classified(at: Open) -> None:
    client = at("prsm-serve/sentiment-bge-small-en")
    best, worst = client.text_classification("I want my money back")
    assert (best.label, worst.label) == ("NEGATIVE", "POSITIVE")
    assert best.score + worst.score == pytest.approx(1)
    (only,) = client.text_classification("my new favourite album", top_k=1)
    assert only.label == "POSITIVE"
    (logit,) = client.text_classification(
        "my new favourite album", top_k=1, function_to_apply="none"
    )
    assert logit.score > 1


def test_zero_shot_classification(at: Open) -> None:
    text = "Beat the eggs and add the flour, then bake."
    labels = ["sports", "cooking", "politics"]
    client = at("ms-marco-MiniLM-L12-v2")
    scored = client.zero_shot_classification(text, labels)
    assert scored[0].label == "cooking"
    assert sum(each.score for each in scored) == pytest.approx(1)
    assert [each.score for each in scored] == sorted((e.score for e in scored), reverse=True)
    alone = client.zero_shot_classification(text, labels, multi_label=True)
    assert sum(each.score for each in alone) < 0.9
    template = "This text is about {}."
    phrased = client.zero_shot_classification(text, labels, hypothesis_template=template)
    assert phrased[0].label == "cooking"
    assert phrased[0].score != scored[0].score


def test_entities_are_found(at: Open) -> None:
    text = "José García moved to São Paulo last May."
    found = at("rampart").token_classification(text)
    assert [(each.entity_group, each.word) for each in found] == [
        ("GIVEN_NAME", "José"),
        ("SURNAME", "García"),
        ("CITY", "São Paulo"),
    ]
    assert all(text[each.start : each.end] == each.word for each in found)
    for aggregation in ("simple", "average", "max"):
        same = at("rampart").token_classification(text, aggregation_strategy=aggregation)
        assert [each.entity_group for each in same][:2] == ["GIVEN_NAME", "SURNAME"]
    pieces = at("rampart").token_classification(text, aggregation_strategy="none")
    assert len(pieces) > len(found)
    assert pieces[0].entity in {"B-GIVEN_NAME", "GIVEN_NAME"}
    kept = at("rampart").token_classification(text, ignore_labels=["CITY"])
    assert [each.entity_group for each in kept] == ["GIVEN_NAME", "SURNAME"]


@pytest.mark.parametrize("options", [{}, {"top_k": 2}], ids=["raw bytes", "base64"])
def test_images_are_classified(at: Open, options: dict[str, Any]) -> None:
    client = at("efficientnet-lite0")
    found = client.image_classification(PHOTOS / "flower.jpg", **options)
    assert len(found) == options.get("top_k", 5)
    assert found[0].label == "daisy"
    assert client.image_classification((PHOTOS / "flower.jpg").read_bytes())[0].label == "daisy"


@pytest.fixture
def drawn() -> bytes:
    """A blue square on white, as a PNG."""
    image = Image.new("RGB", (160, 160), "white")
    draw(image, Shape("blue", "square", SQUARE), (20, 40, 230))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_objects_in_an_image_are_detected(at: Open, drawn: bytes) -> None:
    client = at("prsm-serve/shapes-detection")
    found = client.object_detection(drawn)
    assert [each.score for each in found] == sorted((e.score for e in found), reverse=True)
    best = found[0]
    assert best.label == "square"
    middle = ((best.box.xmin + best.box.xmax) / 2, (best.box.ymin + best.box.ymax) / 2)
    assert middle == pytest.approx((80, 80), abs=30)
    assert client.object_detection(drawn, threshold=1.0) == []
    assert len(client.object_detection(drawn, threshold=0.0)) >= len(found)


def test_an_image_is_captioned(at: Open, drawn: bytes) -> None:
    assert "blue" in at("prsm-serve/shapes-captions").image_to_text(drawn).generated_text


def test_questions_about_an_image_are_answered(at: Open, drawn: bytes) -> None:
    client = at("prsm-serve/shapes-questions")
    first, second = client.visual_question_answering(drawn, "What color is the shape?", top_k=2)
    assert first.answer == "blue"
    assert first.score > second.score


def test_curl_as_the_documentation_has_it(client: httpx.Client) -> None:
    headers = {"authorization": "Bearer hf_any", "x-wait-for-model": "true", "x-use-cache": "0"}
    options = {"use_cache": False, "wait_for_model": True}
    body = {"inputs": ["a fine day", ""], "options": options}
    path = "/models/prsm-serve/sentiment-bge-small-en"
    answer = client.post(path, json=body, headers=headers)
    fine, bad = answer.json()
    assert fine[0]["label"] == "POSITIVE"
    assert bad == {"error": "the text is empty", "error_type": "validation"}
    photo = (PHOTOS / "flower.jpg").read_bytes()
    file = {"content-type": "image/jpeg", **headers}
    found = client.post("/models/efficientnet-lite0", content=photo, headers=file).json()
    assert found[0]["label"] == "daisy"
