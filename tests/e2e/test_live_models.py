"""Models of the operator's folder answer by name alone, in a graph that nobody restarts."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from huggingface_hub import InferenceClient
from openai import BadRequestError, OpenAI
from PIL import Image

from tests.deployments import tiny
from tests.deployments.speech.recordings import noise
from tests.deployments.tiny_vlm import IMAGE_TOKENS
from tests.e2e import tiny_folders
from tests.e2e.conftest import Graph
from tests.e2e.test_models import held, measured, memory
from tests.e2e.tiny_folders import (
    ENDINGS,
    GGUF,
    LLAMA,
    MOODS,
    NAMES,
    PICTURES,
    SEEING,
    SPEECH,
    SUMMARIES,
    VECTORS,
)

NATIVE = "/api/v1/huggingface"
TEXT = tiny.text(1, 2, 3)


@pytest.fixture(scope="module")
def folder(graph: Graph) -> Path:
    """The operator's folder, with a model of each kind."""
    if graph.models_folder is None:
        pytest.skip("the running graph has no folder of models (PRSM_HF_MODELS_FOLDER)")
    if not (graph.models_folder / GGUF).exists():
        tiny_folders.make(graph.models_folder)
    return graph.models_folder


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (tiny.SIDE, tiny.SIDE), "red").save(file, "png")
    return file.getvalue()


def inferred(url: str, model: str, ask: Callable[[InferenceClient], Any]) -> Any:
    return ask(InferenceClient(model=f"{url}/models/{model}", timeout=120))


def posted(client: httpx.Client, route: str, body: dict[str, Any]) -> Any:
    answer = client.post(f"{NATIVE}{route}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_kind_of_model_answers_by_name_alone(
    folder: Path, client: httpx.Client, base_url: str, openai_client: OpenAI
) -> None:
    before = {model["name"] for model in client.get(f"{NATIVE}/models").json()["models"]}

    body = {"prompt": TEXT, "model_name": LLAMA, "max_new_tokens": 3}
    assert posted(client, "/generate", body)["model"] == LLAMA
    chat = openai_client.chat.completions.create(
        model=LLAMA, messages=[{"role": "user", "content": TEXT}], max_tokens=3
    )
    assert chat.model == LLAMA
    assert isinstance(inferred(base_url, LLAMA, lambda c: c.text_generation(TEXT)), str)

    vector = posted(client, "/embeddings", {"texts": TEXT, "model_name": VECTORS})["embeddings"]
    assert len(vector) == tiny.SIZES["hidden_size"]
    assert inferred(base_url, VECTORS, lambda c: c.feature_extraction(TEXT)).size == len(vector)

    mood = posted(client, "/classify", {"texts": TEXT, "model_name": MOODS})
    assert mood["sentiment"] in {"glad", "sad", "mad"}
    best = inferred(base_url, MOODS, lambda c: c.text_classification(TEXT))[0]
    assert best.label == mood["sentiment"]

    found = posted(client, "/entities", {"texts": TEXT, "model_name": NAMES})
    tagged = inferred(base_url, NAMES, lambda c: c.token_classification(TEXT))
    assert [each.word for each in tagged] == [each["text"] for each in found["entities"]]

    image = {"image": ("red.png", picture(), "image/png")}
    shown = client.post(f"{NATIVE}/vision/classify?model_name={PICTURES}", files=image)
    assert len(shown.json()["classifications"]) == 3
    assert len(inferred(base_url, PICTURES, lambda c: c.image_classification(picture()))) == 3

    short = {"texts": TEXT, "model_name": SUMMARIES, "max_length": 5, "min_length": 1}
    assert posted(client, "/summarize", short)["model"] == SUMMARIES
    summary = inferred(base_url, SUMMARIES, lambda c: c.summarization(TEXT))
    assert isinstance(summary.summary_text, str)

    sound: dict[str, Any] = {"files": {"file": ("a.wav", noise(1))}, "data": {"model_name": SPEECH}}
    heard = client.post(f"{NATIVE}/audio/transcribe", **sound).json()
    assert heard["model"] == SPEECH
    spoken = inferred(base_url, SPEECH, lambda c: c.automatic_speech_recognition(noise(1)))
    assert spoken.text == heard["text"]

    listed = {model["name"]: model for model in client.get(f"{NATIVE}/models").json()["models"]}
    added = listed.keys() - before
    assert {LLAMA, VECTORS, MOODS, NAMES, PICTURES, SUMMARIES, SPEECH} <= added | before
    assert listed[LLAMA]["live"]
    assert listed[LLAMA]["limits"]["window"] == 256
    assert LLAMA in {each.id for each in openai_client.models.list()}


def test_a_vision_language_model_answers_chats_about_images(
    folder: Path, openai_client: OpenAI
) -> None:
    def chat(model: str, url: str, **more: Any) -> Any:
        parts: Any = [
            {"type": "text", "text": TEXT},
            {"type": "image_url", "image_url": {"url": url}},
        ]
        return openai_client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": parts}],
            max_tokens=5,
            temperature=0,
            **more,
        )

    sent = "data:image/png;base64," + b64encode(picture()).decode()
    whole = chat(SEEING, sent)
    words: Any = openai_client.chat.completions.create(
        model=SEEING, messages=[{"role": "user", "content": TEXT}], max_tokens=5
    )
    assert whole.usage.prompt_tokens == words.usage.prompt_tokens + IMAGE_TOKENS
    chunks = list(chat(SEEING, sent, stream=True, stream_options={"include_usage": True}))
    pieces = [each.choices[0].delta.content or "" for each in chunks if each.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    with pytest.raises(BadRequestError, match="does not fetch images"):
        chat(SEEING, "https://a.example/b.png")
    with pytest.raises(BadRequestError, match=f"{LLAMA} reads no images.*{SEEING}"):
        chat(LLAMA, sent)


def test_a_gguf_file_is_found_by_the_name_of_its_folder(folder: Path, client: httpx.Client) -> None:
    """It is inspected and not loaded, which takes long (:mod:`tests.long.test_live_models`)."""
    assert client.get(f"/v1/models/{GGUF}").status_code == 200
    models = {each["name"]: each for each in client.get(f"{NATIVE}/models").json()["models"]}
    assert models[GGUF]["family"] == "generation"
    assert models[GGUF]["engine"] == "openvino"
    assert client.delete(f"{NATIVE}/models/{GGUF}").status_code == 200


def test_many_requests_for_a_new_model_load_it_once_and_its_memory_is_given_back(
    folder: Path, graph: Graph, client: httpx.Client
) -> None:
    body = {"prompt": TEXT, "model_name": LLAMA, "max_new_tokens": 3}
    path = f"{NATIVE}/models/{LLAMA}"
    posted(client, "/generate", body)  # the libraries of the first load stay in memory
    assert client.delete(path).status_code == 200
    assert LLAMA not in {model["name"] for model in client.get(f"{NATIVE}/models").json()["models"]}
    replica = measured(graph, "Generation")
    before = memory(replica)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: posted(client, "/generate", body), range(8)))
    assert len(answers) == 8
    assert LLAMA in held(client)  # so small that its bytes may be measured as none
    usage = client.get(f"{NATIVE}/models/loaded").json()["memory_usage"]["replicas"]
    assert [each["model"] for each in usage].count(LLAMA) == 1
    assert client.delete(path).status_code == 200
    assert LLAMA not in held(client)
    assert memory(replica) - before < 16 * 1024**2


@pytest.mark.parametrize("name", ["no/such", "tiny", "a/b/c", "%2e%2e", "%2Fetc", "tiny%2F..%2Fx"])
def test_a_name_outside_the_list_is_not_found(
    folder: Path, client: httpx.Client, name: str
) -> None:
    """Also where the client's library would have normalised the path."""
    decoded = unquote(name)
    answer = client.post(f"{NATIVE}/embeddings", json={"texts": TEXT, "model_name": decoded})
    assert answer.status_code == 404
    assert "operator" in " ".join(answer.json()["details"]["allowed"])
    assert client.post(f"{NATIVE}/models/{name}").status_code == 404


def test_what_no_family_serves_is_refused_with_what_it_is(
    folder: Path, client: httpx.Client
) -> None:
    answer = client.post(f"{NATIVE}/embeddings", json={"texts": TEXT, "model_name": ENDINGS})
    assert answer.status_code == 400
    assert "BertForMultipleChoice, which chooses between endings" in answer.json()["message"]
