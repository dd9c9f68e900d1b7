"""Graph requests over HTTP: several models in one request, failed steps and refused graphs."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw

NATIVE = "/api/v1/huggingface"
TORCH = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
LETTER = (
    "José García moved to São Paulo last May and loves it there. The new bridge is wonderful, and "
    "the ferry beside it carries pedestrians free of charge until the end of the year."
)


def step(name: str, task: str, **inputs: Any) -> dict[str, Any]:
    return {"id": name, "task": task, "inputs": inputs}


def run(client: httpx.Client, *steps: dict[str, Any], **more: Any) -> Any:
    response = client.post(f"{NATIVE}/graph", json={"steps": list(steps), **more})
    assert response.status_code == 200, response.text
    return response.json()


def test_one_text_goes_to_four_models_at_the_same_time(client: httpx.Client) -> None:
    answer = run(
        client,
        step("names", "entities", texts="$input.text"),
        step("mood", "classify", texts="$input.text"),
        step("vector", "embeddings", texts="$input.text"),
        step("short", "summarize", texts="$input.text", max_length=40, min_length=10),
        input={"text": LETTER},
    )
    outputs = answer["outputs"]
    named = {entity["text"]: entity["label"] for entity in outputs["names"]["entities"]}
    assert named["José"] == "GIVEN_NAME"
    assert named["São Paulo"] == "CITY"
    assert outputs["mood"]["sentiment"] == "POSITIVE"
    assert len(outputs["vector"]["embeddings"]) == 384
    assert 10 <= outputs["short"]["usage"]["completion_tokens"] <= 40
    steps = {each["id"]: each for each in answer["steps"]}
    assert [each["status"] for each in answer["steps"]] == ["ok"] * 4
    # The summary takes longest by far; each of the others began before it had ended.
    done = steps["short"]["started_at"] + steps["short"]["execution_time"]
    assert all(each["started_at"] < done for each in answer["steps"])


def test_a_question_is_answered_from_what_a_search_found(client: httpx.Client) -> None:
    answer = run(
        client,
        step(
            "hits",
            "search",
            query_text="$input.question",
            candidate_texts="$input.documents",
            top_k=2,
        ),
        step(
            "answer",
            "generate",
            prompt="Text: ${hits.results.0.text} ${hits.results.1.text}\n"
            "Question: ${input.question}\nAnswer: About",
            max_new_tokens=7,
            temperature=0,
            repetition_penalty=1.0,
        ),
        input={
            "question": "How many people live in Paris?",
            "documents": [
                "Bread is made of flour, water and salt.",
                "About 2.1 million people live in Paris.",
                "The striker scored twice.",
                "Paris is the capital of France.",
            ],
        },
        outputs=["hits", "answer"],
    )
    found = [hit["index"] for hit in answer["outputs"]["hits"]["results"]]
    assert found == [1, 3]
    assert "2.1 million" in answer["outputs"]["answer"]["generated_text"]


def test_an_image_is_captioned_and_the_caption_classified(client: httpx.Client) -> None:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((20, 20, 90, 90), fill=(230, 20, 20))
    file = BytesIO()
    image.save(file, "PNG")
    answer = run(
        client,
        step("cap", "caption", image="$input.photo"),
        step("things", "detect", image="$input.photo"),
        step("mood", "classify", texts="I love this picture of ${cap.caption}!"),
        input={"photo": base64.b64encode(file.getvalue()).decode()},
        outputs=["cap", "mood", "things"],
    )
    outputs = answer["outputs"]
    caption = outputs["cap"]["caption"]
    assert "red" in caption.split()
    assert outputs["mood"]["text"] == f"I love this picture of {caption}!"
    assert outputs["mood"]["sentiment"] == "POSITIVE"
    assert outputs["things"]["detections"]


def test_vectors_of_one_step_are_input_of_another_step(client: httpx.Client) -> None:
    answer = run(
        client,
        step("v", "embeddings", texts=["a cat", "a kitten", "the stock market"]),
        step("near", "similarity", text1="$v.embeddings.0", text2="$v.embeddings.1"),
        step("far", "similarity", text1="$v.embeddings.0", text2="$v.embeddings.2"),
    )
    assert set(answer["outputs"]) == {"near", "far"}
    assert answer["outputs"]["near"]["similarity"] > answer["outputs"]["far"]["similarity"] + 0.2


def test_every_text_task_can_be_a_step(client: httpx.Client) -> None:
    texts = ["I love this album.", "The parliament passed a law."]
    answer = run(
        client,
        step("generate", "generate", prompt="Hi", max_new_tokens=2),
        step("cluster", "cluster", texts=texts, n_clusters=2),
        step("labels", "classify", texts=texts, labels=["music", "politics"]),
        step("topics", "topics", texts=texts),
        step("rerank", "rerank", query="Which law?", documents=texts),
    )
    assert [each["status"] for each in answer["steps"]] == ["ok"] * 5
    outputs = answer["outputs"]
    assert outputs["generate"]["generated_text"] is not None
    assert outputs["cluster"]["n_clusters"] == 2
    assert [item["top_prediction"]["label"] for item in outputs["labels"]] == ["music", "politics"]
    assert outputs["topics"][1]["category"]
    assert outputs["rerank"]["results"][0]["index"] == 1


def test_a_failed_step_fails_its_dependents_and_no_other_step(client: httpx.Client) -> None:
    answer = run(
        client,
        step("split", "cluster", texts=["a", "b"], n_clusters=3),
        step("next", "classify", texts="$split.clusters.0.0.text"),
        step("mood", "classify", texts="I love it"),
    )
    split, following, mood = answer["steps"]
    assert (split["status"], split["error"]["field"]) == ("failed", "inputs.n_clusters")
    assert (following["status"], following["cause"]) == ("skipped", "split")
    assert mood["status"] == "ok"
    assert set(answer["outputs"]) == {"mood"}


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([step("a", "classify", texts="$b.0"), step("b", "classify", texts="$a.0")], "steps.0"),
        ([step("a", "paint", texts="x")], "steps.0.task"),
        ([step("a", "classify", texts="$gone.text")], "steps.0.inputs.texts"),
        ([step("a", "classify", texts="$input.gone")], "steps.0.inputs.texts"),
        ([step("a", "classify", texts="x", model_name="no/such")], "steps.0.inputs.model_name"),
        ([step("a", "classify", texts="x", labls=["y"])], "steps.0.inputs.labls"),
    ],
)
def test_a_graph_that_cannot_work_is_refused(
    client: httpx.Client, steps: list[dict[str, Any]], field: str
) -> None:
    response = client.post(f"{NATIVE}/graph", json={"steps": steps})
    assert response.status_code == 400
    body = response.json()
    assert body["error_type"] == "validation_error"
    assert field in body["details"]["field_errors"]


def test_a_client_that_leaves_stops_its_steps(base_url: str, client: httpx.Client) -> None:
    """The torch engine has one slot: if it were still busy, the next text would take minutes."""
    short = {"prompt": "Hi", "model_name": TORCH, "max_new_tokens": 2}
    client.post(f"{NATIVE}/generate", json=short).raise_for_status()  # loaded by now
    long = {**short, "max_new_tokens": 8000, "temperature": 2, "top_k": 0}
    with httpx.Client(base_url=base_url, timeout=4) as own, pytest.raises(httpx.ReadTimeout):
        own.post(f"{NATIVE}/graph", json={"steps": [step("story", "generate", **long)]})
    after = client.post(f"{NATIVE}/generate", json=short)
    assert after.status_code == 200
