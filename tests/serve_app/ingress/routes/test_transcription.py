"""Recordings over HTTP: the native route, Hugging Face's and OpenAI's, without a model."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from deployments.seam.problems import Problem
from deployments.seam.transcription import Segment, TranscriptionRequest, TranscriptionResult
from serve_app.ingress.audio import SILENCE
from tests.deployments.speech.recordings import noise, wav_header
from tests.serve_app import house
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.one_family import MODEL
from tests.serve_app.local_handle import Family

WAV = noise(1)
TEXT = base64.b64encode(WAV).decode()
SAID = TranscriptionResult(
    (
        Segment(0.0, 4.5, " Good morning --> all.", (90, 1, 95), 0.0, -0.25, 0.125, 1.5),
        Segment(3604.5, 3606.25, " And good night.", (95, 2, 99), 30.0, -0.5, 0.0, 1.5),
    ),
    "en",
    11.0,
    1,
    6,
)
WORDS = "Good morning --> all. And good night."
USAGE = {"type": "duration", "seconds": 11.0}
OPENAI = "/v1/audio/transcriptions"
NATIVE = f"{house.NATIVE}/audio/transcribe"


async def sent(family: Family, path: str, data: Any = None, **request: Any) -> httpx.Response:
    """A form with the file, or what ``request`` says."""
    form = request or {"files": {"file": ("a.wav", WAV, "audio/wav")}, "data": data or {}}
    async with hub.client(family, "transcribe") as client:
        return await client.post(f"http://house{path}", **form)


@pytest.mark.parametrize("as_form", [True, False])
async def test_a_recording_becomes_text_and_its_times(as_form: bool) -> None:
    family = Family(SAID)
    more: dict[str, Any] = {"language": "de", "prompt": "Hi", "model_name": MODEL}
    if as_form:
        response = await sent(family, NATIVE, {**more, "translate": "true"})
    else:
        body = {**more, "audio": TEXT, "translate": True}
        response = await sent(family, NATIVE, json=body)
    answer = response.json()
    assert response.status_code == 200, answer
    assert answer["text"] == WORDS
    assert answer["segments"][1] == {"start": 3604.5, "end": 3606.25, "text": "And good night."}
    assert (answer["language"], answer["duration"], answer["model"]) == ("en", 11.0, MODEL)
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 6, "total_tokens": 7}
    assert family.asked == [TranscriptionRequest(MODEL, WAV, "de", True, "Hi")]


async def test_the_documented_example_is_a_recording() -> None:
    assert (await sent(Family(SAID), NATIVE, json={"audio": SILENCE})).status_code == 200


async def test_a_step_of_a_graph_transcribes() -> None:
    step = {"id": "a", "task": "transcribe", "inputs": {"audio": "$input.sound"}}
    body = {"steps": [step], "input": {"sound": TEXT}}
    answer = (await sent(Family(SAID), f"{house.NATIVE}/graph", json=body)).json()
    assert answer["outputs"]["a"]["text"] == WORDS


@pytest.mark.parametrize(
    ("headers", "content"),
    [({}, WAV), ({"content-type": "audio/x-wav"}, WAV), ({"content-type": "audio/flac"}, WAV)],
)
async def test_hugging_face_takes_a_bare_file(headers: dict[str, str], content: bytes) -> None:
    family = Family(SAID)
    response = await sent(family, f"/models/{MODEL}", content=content, headers=headers)
    assert response.json() == {"text": WORDS}
    assert family.asked == [TranscriptionRequest(MODEL, WAV)]


async def test_hugging_face_asks_for_times_and_languages_beside_base64() -> None:
    family = Family(SAID)
    generation = {"language": "german", "task": "translate", "num_beams": 1, "temperature": 0}
    parameters = {"return_timestamps": True, "generation_parameters": generation}
    path = f"/models/{MODEL}/pipeline/automatic-speech-recognition"
    response = await sent(family, path, json={"inputs": TEXT, "parameters": parameters})
    answer = response.json()
    assert answer["text"] == WORDS
    assert answer["chunks"][0] == {"text": " Good morning --> all.", "timestamp": [0.0, 4.5]}
    assert family.asked == [TranscriptionRequest(MODEL, WAV, "german", True)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"return_timestamps": "word"}, "return_timestamps"),
        ({"generation_parameters": {"num_beams": 4}}, "num_beams"),
        ({"generation_parameters": {"do_sample": True}}, "do_sample: this cannot be honoured"),
        ({"generation_parameters": {"temperature": 0.5}}, "temperature: only 0 can be honoured"),
        ({"generation_parameters": {"top_k": 5}}, "top_k"),
        ({"chunk_length_s": 10}, "chunk_length_s"),
    ],
)
async def test_hugging_faces_other_parameters_are_refused_by_name(
    parameters: dict[str, Any], message: str
) -> None:
    body = {"inputs": TEXT, "parameters": parameters}
    response = await sent(Family(), f"/models/{MODEL}", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]


async def test_openais_formats() -> None:
    formats = ("json", "text", "srt", "vtt", "verbose_json")
    family = Family(*[SAID] * len(formats))
    found = {each: await sent(family, OPENAI, {"response_format": each}) for each in formats}
    assert found["json"].json() == {"text": WORDS, "usage": USAGE}
    assert found["text"].text == f"{WORDS}\n"
    assert found["text"].headers["content-type"].startswith("text/plain")
    assert found["srt"].text == (
        "1\n00:00:00,000 --> 00:00:04,500\nGood morning -> all.\n\n"
        "2\n01:00:04,500 --> 01:00:06,250\nAnd good night.\n"
    )
    assert found["vtt"].text == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:04.500\nGood morning -> all.\n\n"
        "01:00:04.500 --> 01:00:06.250\nAnd good night.\n"
    )
    verbose = found["verbose_json"].json()
    assert (verbose["task"], verbose["language"], verbose["duration"]) == ("transcribe", "en", 11.0)
    assert verbose["segments"][1] == {
        "id": 1,
        "seek": 3000,
        "start": 3604.5,
        "end": 3606.25,
        "text": " And good night.",
        "tokens": [95, 2, 99],
        "temperature": 0.0,
        "avg_logprob": -0.5,
        "compression_ratio": 1.5,
        "no_speech_prob": 0.0,
    }


async def test_openais_fields_reach_the_model() -> None:
    family = Family(SAID, SAID)
    form = {"model": MODEL, "language": "fr", "prompt": "Hi", "temperature": "0"}
    more = {"stream": "false", "chunking_strategy": "auto"}
    segments = {"timestamp_granularities[]": "segment", "response_format": "verbose_json"}
    answered = await sent(family, OPENAI, form | more | segments)
    assert len(answered.json()["segments"]) == len(SAID.segments)
    translated = await sent(
        family, "/v1/audio/translations", {"prompt": "Hi", "response_format": "verbose_json"}
    )
    assert translated.json()["task"] == "translate"
    assert family.asked == [
        TranscriptionRequest(MODEL, WAV, "fr", False, "Hi"),
        TranscriptionRequest(MODEL, WAV, None, True, "Hi"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"temperature": "0.5"}, "temperature: only 0 can be honoured"),
        ({"temperature": "nan"}, "temperature: "),
        ({"stream": "true"}, "stream: this cannot be honoured here; leave it out, or false"),
        ({"stream": "perhaps"}, "stream: expected true or false"),
        ({"response_format": "diarized_json"}, "response_format"),
        (
            {"timestamp_granularities[]": ["segment", "word"], "response_format": "verbose_json"},
            "timestamp_granularities[].1: expected 'segment'",
        ),
        (
            {"timestamp_granularities[]": "segment"},
            "timestamp_granularities[]: response_format must be verbose_json",
        ),
        ({"include[]": "logprobs"}, "include[]"),
        ({"language": ""}, "language"),
    ],
)
async def test_openais_other_fields_are_refused_by_name(data: dict[str, Any], message: str) -> None:
    response = await sent(Family(), OPENAI, data)
    assert response.status_code == 400, response.text
    assert message in response.json()["error"]["message"]


async def test_translations_take_no_language() -> None:
    response = await sent(Family(), "/v1/audio/translations", {"language": "de"})
    assert response.status_code == 400
    assert "language" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", [NATIVE, OPENAI])
async def test_other_files_are_refused_with_the_field(path: str) -> None:
    for content, status in ((b"ID3\x04rest of it", 415), (wav_header(channels=0), 400)):
        response = await sent(Family(), path, files={"file": ("a", content, "audio/wav")})
        assert response.status_code == status, response.text
        field = "audio" if path == NATIVE else "file"
        assert field in response.text
    assert (await sent(Family(), path, json={})).status_code == 400
    text = {"files": {"other": ("a", WAV)}}
    assert (await sent(Family(), path, **text)).status_code == 400


@pytest.mark.parametrize(("path", "field"), [(NATIVE, "audio"), (OPENAI, "file")])
async def test_what_the_model_finds_wrong_names_the_field(path: str, field: str) -> None:
    family = Family(Problem("validation", "the sound is damaged", "audio"))
    response = await sent(family, path)
    assert response.status_code == 400
    found = response.json()
    assert (found.get("error") or found)["message"] == "the sound is damaged"
    named = (
        found["error"]["param"] if path == OPENAI else next(iter(found["details"]["field_errors"]))
    )
    assert named == field
