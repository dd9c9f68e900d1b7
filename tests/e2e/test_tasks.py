"""Tasks without a packaged model: tiny ones of random weights, in the operator's folder."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import errors
from openai import APIStatusError, BadRequestError, OpenAI
from PIL import Image
from transformers import BertForMaskedLM, BertForQuestionAnswering, pipeline

from tests.deployments.families import bert_config, saved
from tests.deployments.pictures import encoded
from tests.deployments.pictures import noise as picture_of_noise
from tests.deployments.speech.recordings import ASK_NOT, SAID, noise, words
from tests.deployments.speech.tiny_whisper import tiny_whisper
from tests.deployments.test_summarization import t5
from tests.deployments.tiny_classifiers import saved_clip
from tests.deployments.tiny_segmenters import saved_segmenter
from tests.e2e.conftest import Graph, Open

NATIVE = "/api/v1/huggingface"
MASKS, SPANS, IMAGES = "tasks/masks", "tasks/spans", "tasks/images"
SCENES, TEXTS, SPEECH = "tasks/scenes", "tasks/texts", "tasks/speech"
WHISPER = "openai/whisper-tiny.en"

GERMAN = {"translation_en_to_de": {"prefix": "this is "}}


@pytest.fixture(scope="module", autouse=True)
def folder(graph: Graph) -> Path:
    """The operator's folder, with a checkpoint for each task."""
    if (home := graph.models_folder) is None:
        pytest.skip("the running graph has no folder of models (PRSM_HF_MODELS_FOLDER)")
    if not (home / SPEECH).exists():
        saved(BertForMaskedLM(bert_config()), home / MASKS)
        saved(BertForQuestionAnswering(bert_config("start", "end")), home / SPANS)
        saved_clip(home / IMAGES)
        saved_segmenter(home / SCENES)
        t5(home / TEXTS, task_specific_params=GERMAN)
        tiny_whisper(home / SPEECH)
    return home


@pytest.fixture(scope="module")
def native(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{base_url}{NATIVE}", timeout=120, trust_env=False) as client:
        yield client


def test_masked_words(native: httpx.Client, at: Open, folder: Path) -> None:
    expected = pipeline("fill-mask", model=str(folder / MASKS))("a [MASK] cat", top_k=3)
    asked = {"texts": "a [MASK] cat", "model_name": MASKS, "top_k": 3}
    answer = native.post("/fill-mask", json=asked).json()
    assert [each["token"] for each in answer["predictions"]] == [
        each["token_str"] for each in expected
    ]
    found = at(MASKS).fill_mask("a [MASK] cat", top_k=3)
    assert [(each.token, each.token_str, each.sequence) for each in found] == [
        (each["token"], each["token_str"], each["sequence"]) for each in expected
    ]
    (only,) = at(MASKS).fill_mask("a [MASK] cat", targets=["tax"])
    assert only.token_str == "tax"
    with pytest.raises(errors.HfHubHTTPError, match="mask"):
        at(MASKS).fill_mask("a cat")


def test_answers_out_of_a_text(native: httpx.Client, at: Open) -> None:
    asked: dict[str, Any] = {
        "question": "is a cat",
        "context": "sport and tax is a cats , e f " * 20,
    }
    answer = native.post(
        "/question-answering", json={**asked, "model_name": SPANS, "top_k": 3}
    ).json()
    assert answer["answer"] == asked["context"][answer["start"] : answer["end"]]
    assert len(answer["answers"]) == 3
    found: Any = at(SPANS).question_answering(**asked)
    assert (found.answer, found.start, found.end) == tuple(
        answer[key] for key in ("answer", "start", "end")
    )
    several: Any = at(SPANS).question_answering(**asked, top_k=3, align_to_words=False)
    assert [each.score for each in several] == sorted(each.score for each in several)[::-1]


def test_texts_that_are_written_from_texts(native: httpx.Client, at: Open) -> None:
    body = {"texts": "this is a cat", "max_new_tokens": 8, "model_name": TEXTS}
    written = native.post("/text2text", json=body).json()
    assert 1 <= written["usage"]["completion_tokens"] <= 8
    # A bare text to a model that does several tasks is summarized: the path names the task.
    generating = at(f"{TEXTS}/pipeline/text2text-generation")
    assert generating.text_generation("this is a cat", max_new_tokens=8) == written["text"]
    told = native.post("/translate", json={**body, "texts": "a cat", "target_lang": "de"}).json()
    assert told["translation"] == written["text"]
    translated = at(f"{TEXTS}/pipeline/translation").translation(
        "a cat", src_lang="en", tgt_lang="de", generate_parameters={"max_new_tokens": 8}
    )
    assert translated.translation_text == written["text"]
    refused = native.post("/translate", json={**body, "target_lang": "fr"})
    assert "en to de" in refused.json()["details"]["field_errors"]["target_lang"]


def test_labels_of_ones_own_for_an_image(native: httpx.Client, at: Open) -> None:
    image, labels = encoded(Image.new("RGB", (40, 30), "red")), ["w1", "w2 w3", "w4"]
    form: dict[str, Any] = {
        "files": {"image": ("a.png", image, "image/png")},
        "data": {"labels": labels},
    }
    answer = native.post(f"/vision/zero-shot?model_name={IMAGES}", **form).json()
    scores = {each["label"]: each["score"] for each in answer["predictions"]}
    assert sum(scores.values()) == pytest.approx(1)
    found = at(IMAGES).zero_shot_image_classification(image, candidate_labels=labels)
    assert {each.label: each.score for each in found} == pytest.approx(scores, abs=1e-3)
    without = native.post(f"/vision/zero-shot?model_name={IMAGES}", **form | {"data": {}})
    assert without.status_code == 400


def test_which_pixels_of_an_image_are_what(native: httpx.Client, at: Open) -> None:
    image = picture_of_noise(1, (90, 70))
    form: dict[str, Any] = {"files": {"image": ("a.png", image, "image/png")}}
    segments = native.post(f"/vision/segment?model_name={SCENES}", **form).json()["segments"]
    found: Any = at(SCENES).image_segmentation(image)
    assert [each.label for each in found] == [each["label"] for each in segments]
    assert {(each.mask.mode, each.mask.size) for each in found} == {("L", (90, 70))}
    masks = np.stack([np.asarray(each.mask) for each in found])
    assert np.array_equal(masks.sum(0, dtype=int), np.full((70, 90), 255))  # each pixel is of one
    assert [each.mask for each in found] == [opened(each["mask"]) for each in segments]
    same: Any = at(SCENES).image_segmentation(image, subtask="semantic")
    assert [each.mask for each in same] == [each.mask for each in found]
    with pytest.raises(errors.HfHubHTTPError, match="threshold has no effect"):
        at(SCENES).image_segmentation(image, threshold=0.5)
    inputs = {"image": b64encode(image).decode(), "model_name": SCENES}
    step = {"id": "cut", "task": "segment", "inputs": inputs}
    graph = native.post("/graph", json={"steps": [step]}).json()
    assert graph["outputs"]["cut"]["segments"] == segments


def opened(mask: str) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(mask)))


def test_what_is_said_in_a_recording(native: httpx.Client, at: Open, base_url: str) -> None:
    raw = ASK_NOT.read_bytes()
    answer = native.post("/audio/transcribe", files={"file": ("a.flac", raw)}).json()
    assert words(answer["text"]) == SAID
    assert " ".join(each["text"] for each in answer["segments"]) == answer["text"]
    with OpenAI(base_url=f"{base_url}/v1", api_key="unused", max_retries=0) as openai:
        speech: Any = openai.audio
        form: dict[str, Any] = {"model": WHISPER, "file": ASK_NOT}
        whole = speech.transcriptions.create(**form, response_format="verbose_json", temperature=0)
        assert (whole.text, whole.duration) == (answer["text"], 11.0)
        assert [each.end for each in whole.segments] == [each["end"] for each in answer["segments"]]
        subtitles = speech.transcriptions.create(**form, response_format="srt", language="en")
        assert subtitles.startswith("1\n00:00:00,000 --> 00:00:")
        with pytest.raises(BadRequestError, match="temperature"):
            speech.transcriptions.create(**form, temperature=0.7)
        with pytest.raises(APIStatusError, match="MP3") as other:
            speech.transcriptions.create(model=SPEECH, file=b"ID3\x04no such thing")
        assert other.value.status_code == 415
    translation: dict[str, Any] = {
        "files": {"file": ("a.flac", raw)},
        "data": {"model": WHISPER},
    }
    refused = httpx.post(f"{base_url}/v1/audio/translations", **translation, trust_env=False)
    assert "English only" in refused.json()["error"]["message"]
    client = at(WHISPER)
    assert client.automatic_speech_recognition(raw).text == answer["text"]
    timed = client.automatic_speech_recognition(raw, extra_body={"return_timestamps": True})
    assert timed.chunks is not None
    assert timed.chunks[-1].timestamp[1] == answer["segments"][-1]["end"]


def test_a_recording_in_another_language(native: httpx.Client) -> None:
    body = {"model_name": SPEECH, "audio": b64encode(noise(1)).decode()}
    for more, code in (({}, {"en", "de", "fr"}), ({"language": "french"}, {"fr"})):
        answer = native.post("/audio/transcribe", json=body | more).json()
        assert answer["language"] in code
    answer = native.post("/audio/transcribe", json=body | {"translate": True}).json()
    assert answer["usage"]["prompt_tokens"] == 3
    refused = native.post("/audio/transcribe", json=body | {"language": "klingon"})
    assert "de, en, fr" in refused.json()["details"]["field_errors"]["language"]


def test_steps_of_one_graph(native: httpx.Client) -> None:
    steps = [
        {
            "id": "fill",
            "task": "fill_mask",
            "inputs": {"texts": "a [MASK] cat", "model_name": MASKS},
        },
        {
            "id": "ask",
            "task": "question_answering",
            "inputs": {
                "question": "is a",
                "model_name": SPANS,
                "context": "$fill.predictions.0.sequence",
            },
        },
        {
            "id": "tell",
            "task": "translate",
            "inputs": {"texts": "${fill.text}", "model_name": TEXTS},
        },
    ]
    answer = native.post("/graph", json={"steps": steps}).json()
    assert [each["status"] for each in answer["steps"]] == ["ok"] * 3
    assert len({each["model"] for each in answer["steps"]}) == 3


def test_requests_are_counted_by_their_tasks(base_url: str) -> None:
    metrics = httpx.get(f"{base_url}/metrics", trust_env=False).text
    for task in (
        "fill_mask",
        "question_answering",
        "translate",
        "text2text",
        "transcribe",
        "segment",
    ):
        assert re.search(rf'requests_total{{[^}}]*task="{task}"[^}}]*}} [1-9]', metrics), task
