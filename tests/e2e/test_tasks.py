"""Tasks without a packaged model: tiny ones of random weights, served from folders over HTTP.

Beside them is the example family, which the service knows from its entry in the profile alone.
"""

from __future__ import annotations

import io
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import numpy as np
import pytest
import yaml
from huggingface_hub import InferenceClient, errors
from openai import APIStatusError, BadRequestError, OpenAI
from PIL import Image
from transformers import BertForMaskedLM, BertForQuestionAnswering, pipeline

from tests.deployments.families import bert_config, saved
from tests.deployments.pictures import encoded
from tests.deployments.pictures import noise as picture_of_noise
from tests.deployments.speech.recordings import ASK_NOT, SAID, embedded_whisper, noise, words
from tests.deployments.speech.tiny_whisper import tiny_whisper
from tests.deployments.test_summarization import t5
from tests.deployments.test_vision import saved_clip
from tests.deployments.tiny_segmenters import saved_segmenter
from tests.e2e.conftest import started_graph

ROOT = Path(__file__).parents[2]
NATIVE = "/api/v1/huggingface"
FAMILIES = {
    "classification": ("Classification", ["fill_mask"], {"tiny/masks": ["fill_mask"]}),
    "summarization": (
        "Summarization",
        ["translation"],
        {"tiny/texts": ["text2text", "translate"]},
    ),
    "vision": (
        "Vision",
        ["vision"],
        {"tiny/images": ["image_zero_shot"], "tiny/scenes": ["segment"]},
    ),
    "entities": ("Entities", ["question_answering"], {"tiny/spans": ["question_answering"]}),
    "transcription": (
        "Transcription",
        ["transcription", "openai.audio.route"],
        {"whisper-tiny.en": ["transcribe"], "tiny/speech": ["transcribe"]},
    ),
}
"""Class, routers, and the tasks of each model, by family."""

GERMAN = {"translation_en_to_de": {"prefix": "this is "}}

Open: TypeAlias = Callable[[str], InferenceClient]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint for each model."""
    home = tmp_path_factory.mktemp("tiny")
    spans = BertForQuestionAnswering(bert_config("start", "end"))
    return {
        "tiny/masks": saved(BertForMaskedLM(bert_config()), home / "masks"),
        "tiny/spans": saved(spans, home / "spans"),
        "tiny/images": saved_clip(home / "images"),
        "tiny/scenes": saved_segmenter(home / "scenes"),
        "tiny/texts": t5(home / "texts", task_specific_params=GERMAN),
        "tiny/speech": tiny_whisper(home / "speech"),
        "whisper-tiny.en": embedded_whisper(),
    }


def profile(folders: dict[str, Path]) -> dict[str, Any]:
    families = []
    for name, (cls, routers, models) in FAMILIES.items():
        families.append(
            {
                "name": name,
                "deployment": f"deployments.{name}:{cls}",
                "routers": [f"serve_app.ingress.routes.{each}:router" for each in routers],
                "models": [
                    {
                        "name": model,
                        "tasks": tasks,
                        "pinned": True,
                        "engine": "torch",
                        "source": {"folder": str(folders[model])},
                    }
                    for model, tasks in models.items()
                ],
            }
        )
    example = yaml.safe_load((ROOT / "tests" / "toy" / "profile.yaml").read_text())
    return {"name": "tiny", "families": families + example["families"]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Path]) -> Iterator[str]:
    """A graph of these families, for as long as this module's tests last."""
    if running := os.environ.get("PRSM_TEST_TASKS_URL"):
        yield running
        return
    home = tmp_path_factory.mktemp("graph")
    file = home / "profile.yaml"
    file.write_text(yaml.safe_dump(profile(folders)))
    own = {"PYTHONPATH": str(ROOT), "PRSM_HF_HF_CACHE_DIR": str(home)}
    with started_graph(home / "up.log", "--profile", str(file), **own) as url:
        yield url


@pytest.fixture(scope="module")
def native(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}{NATIVE}", timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def at(url: str) -> Open:
    return lambda model: InferenceClient(model=f"{url}/models/{model}", timeout=60)


def test_the_example_familys_route_and_graph_step_answer(native: httpx.Client) -> None:
    steps = [
        {"id": "once", "task": "spell", "inputs": {"texts": "stressed"}},
        {"id": "twice", "task": "spell", "inputs": {"texts": "$once.spelled"}},
    ]
    single = native.post("/spell", json={"texts": "stressed"})
    assert single.json()["spelled"] == "desserts"
    graph = native.post("/graph", json={"steps": steps}).json()
    assert graph["outputs"]["twice"]["spelled"] == "stressed"
    (model,) = {step["model"] for step in graph["steps"]}
    assert model == "toy/quiet"


def test_masked_words(native: httpx.Client, at: Open, folders: dict[str, Path]) -> None:
    expected = pipeline("fill-mask", model=str(folders["tiny/masks"]))("a [MASK] cat", top_k=3)
    answer = native.post("/fill-mask", json={"texts": "a [MASK] cat", "top_k": 3}).json()
    assert [each["token"] for each in answer["predictions"]] == [
        each["token_str"] for each in expected
    ]
    found = at("tiny/masks").fill_mask("a [MASK] cat", top_k=3)
    assert [(each.token, each.token_str, each.sequence) for each in found] == [
        (each["token"], each["token_str"], each["sequence"]) for each in expected
    ]
    (only,) = at("tiny/masks").fill_mask("a [MASK] cat", targets=["tax"])
    assert only.token_str == "tax"
    with pytest.raises(errors.HfHubHTTPError, match="mask"):
        at("tiny/masks").fill_mask("a cat")


def test_answers_out_of_a_text(native: httpx.Client, at: Open) -> None:
    asked: dict[str, Any] = {
        "question": "is a cat",
        "context": "sport and tax is a cats , e f " * 20,
    }
    answer = native.post("/question-answering", json={**asked, "top_k": 3}).json()
    assert answer["answer"] == asked["context"][answer["start"] : answer["end"]]
    assert len(answer["answers"]) == 3
    found: Any = at("tiny/spans").question_answering(**asked)
    assert (found.answer, found.start, found.end) == tuple(
        answer[key] for key in ("answer", "start", "end")
    )
    several: Any = at("tiny/spans").question_answering(**asked, top_k=3, align_to_words=False)
    assert [each.score for each in several] == sorted(each.score for each in several)[::-1]


def test_texts_that_are_written_from_texts(native: httpx.Client, at: Open) -> None:
    body = {"texts": "this is a cat", "max_new_tokens": 8}
    written = native.post("/text2text", json=body).json()
    assert 1 <= written["usage"]["completion_tokens"] <= 8
    client = at("tiny/texts")
    # A bare text to a model that does several tasks is summarized: the path names the task.
    generating = at("tiny/texts/pipeline/text2text-generation")
    assert generating.text_generation("this is a cat", max_new_tokens=8) == written["text"]
    told = native.post("/translate", json={**body, "texts": "a cat", "target_lang": "de"}).json()
    assert told["translation"] == written["text"]
    translated = client.translation(
        "a cat", src_lang="en", tgt_lang="de", generate_parameters={"max_new_tokens": 8}
    )
    assert translated.translation_text == written["text"]
    refused = native.post("/translate", json={"texts": "a cat", "target_lang": "fr"})
    assert "en to de" in refused.json()["details"]["field_errors"]["target_lang"]


def test_labels_of_ones_own_for_an_image(native: httpx.Client, at: Open) -> None:
    image, labels = encoded(Image.new("RGB", (40, 30), "red")), ["w1", "w2 w3", "w4"]
    form: dict[str, Any] = {
        "files": {"image": ("a.png", image, "image/png")},
        "data": {"labels": labels},
    }
    answer = native.post("/vision/zero-shot", **form).json()
    scores = {each["label"]: each["score"] for each in answer["predictions"]}
    assert sum(scores.values()) == pytest.approx(1)
    found = at("tiny/images").zero_shot_image_classification(image, candidate_labels=labels)
    assert {each.label: each.score for each in found} == pytest.approx(scores, abs=1e-3)
    assert native.post("/vision/zero-shot", **form | {"data": {}}).status_code == 400


def test_which_pixels_of_an_image_are_what(native: httpx.Client, at: Open) -> None:
    image = picture_of_noise(1, (90, 70))
    form: dict[str, Any] = {"files": {"image": ("a.png", image, "image/png")}}
    segments = native.post("/vision/segment", **form).json()["segments"]
    found: Any = at("tiny/scenes").image_segmentation(image)
    assert [each.label for each in found] == [each["label"] for each in segments]
    assert {(each.mask.mode, each.mask.size) for each in found} == {("L", (90, 70))}
    masks = np.stack([np.asarray(each.mask) for each in found])
    assert np.array_equal(masks.sum(0, dtype=int), np.full((70, 90), 255))  # each pixel is of one
    assert [each.mask for each in found] == [opened(each["mask"]) for each in segments]
    same: Any = at("tiny/scenes").image_segmentation(image, subtask="semantic")
    assert [each.mask for each in same] == [each.mask for each in found]
    with pytest.raises(errors.HfHubHTTPError, match="threshold has no effect"):
        at("tiny/scenes").image_segmentation(image, threshold=0.5)
    step = {"id": "cut", "task": "segment", "inputs": {"image": b64encode(image).decode()}}
    graph = native.post("/graph", json={"steps": [step]}).json()
    assert graph["outputs"]["cut"]["segments"] == segments


def opened(mask: str) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(mask)))


def test_what_is_said_in_a_recording(native: httpx.Client, at: Open, url: str) -> None:
    raw = ASK_NOT.read_bytes()
    answer = native.post("/audio/transcribe", files={"file": ("a.flac", raw)}).json()
    assert words(answer["text"]) == SAID
    assert " ".join(each["text"] for each in answer["segments"]) == answer["text"]
    with OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as openai:
        speech: Any = openai.audio
        form: dict[str, Any] = {"model": "whisper-tiny.en", "file": ASK_NOT}
        whole = speech.transcriptions.create(**form, response_format="verbose_json", temperature=0)
        assert (whole.text, whole.duration) == (answer["text"], 11.0)
        assert [each.end for each in whole.segments] == [each["end"] for each in answer["segments"]]
        subtitles = speech.transcriptions.create(**form, response_format="srt", language="en")
        assert subtitles.startswith("1\n00:00:00,000 --> 00:00:")
        with pytest.raises(BadRequestError, match="temperature"):
            speech.transcriptions.create(**form, temperature=0.7)
        with pytest.raises(APIStatusError, match="MP3") as other:
            speech.transcriptions.create(model="tiny/speech", file=b"ID3\x04no such thing")
        assert other.value.status_code == 415
    translation: dict[str, Any] = {
        "files": {"file": ("a.flac", raw)},
        "data": {"model": "whisper-tiny.en"},
    }
    refused = httpx.post(f"{url}/v1/audio/translations", **translation, trust_env=False)
    assert "English only" in refused.json()["error"]["message"]
    client = at("whisper-tiny.en")
    assert client.automatic_speech_recognition(raw).text == answer["text"]
    timed = client.automatic_speech_recognition(raw, extra_body={"return_timestamps": True})
    assert timed.chunks is not None
    assert timed.chunks[-1].timestamp[1] == answer["segments"][-1]["end"]


def test_a_recording_in_another_language(native: httpx.Client) -> None:
    body = {"model_name": "tiny/speech", "audio": b64encode(noise(1)).decode()}
    for more, code in (({}, {"en", "de", "fr"}), ({"language": "french"}, {"fr"})):
        answer = native.post("/audio/transcribe", json=body | more).json()
        assert answer["language"] in code
    answer = native.post("/audio/transcribe", json=body | {"translate": True}).json()
    assert answer["usage"]["prompt_tokens"] == 3
    refused = native.post("/audio/transcribe", json=body | {"language": "klingon"})
    assert "de, en, fr" in refused.json()["details"]["field_errors"]["language"]


def test_steps_of_one_graph(native: httpx.Client) -> None:
    steps = [
        {"id": "fill", "task": "fill_mask", "inputs": {"texts": "a [MASK] cat"}},
        {
            "id": "ask",
            "task": "question_answering",
            "inputs": {"question": "is a", "context": "$fill.predictions.0.sequence"},
        },
        {"id": "tell", "task": "translate", "inputs": {"texts": "${fill.text}"}},
    ]
    answer = native.post("/graph", json={"steps": steps}).json()
    assert [each["status"] for each in answer["steps"]] == ["ok"] * 3
    assert len({each["model"] for each in answer["steps"]}) == 3


def test_requests_are_counted_by_their_tasks(url: str) -> None:
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    for task in (
        "fill_mask",
        "question_answering",
        "translate",
        "text2text",
        "transcribe",
        "segment",
    ):
        assert re.search(rf'requests_total{{[^}}]*task="{task}"[^}}]*}} [1-9]', metrics), task
