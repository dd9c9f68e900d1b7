"""Automatic speech recognition: the file is the whole body, or base64 in ``inputs``."""

from __future__ import annotations

from typing import Any, Literal, Self

from starlette.responses import Response

from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services, json_response
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import NoOptions
from serve_app.ingress.routes.transcripts import TRANSCRIBE, transcribe_audio
from serve_app.ingress.validation.effects import GreedyTemperature, NoEffect, Off
from serve_app.ingress.validation.fields import AudioSent, Body, LanguageCode

hub_tasks = HubTasks()

FIELDS = {
    "audio": "inputs",
    "language": "parameters.generation_parameters.language",
}


class SpeechGeneration(Body):
    """How the text is decoded: greedily. The language and the task are Whisper's own."""

    language: LanguageCode | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    do_sample: Off = None
    num_beams: NoEffect[Literal[1] | None] = None
    temperature: GreedyTemperature = None


class SpeechParameters(Body):
    return_timestamps: bool = False
    generation_parameters: SpeechGeneration = SpeechGeneration()


class HubSpeechBody(Body):
    inputs: AudioSent
    parameters: SpeechParameters = SpeechParameters()
    options: NoOptions = None

    @classmethod
    def of(cls, file: bytes) -> Self:
        return cls(inputs=file)


@hub_tasks.task("automatic-speech-recognition", TRANSCRIBE, from_file=HubSpeechBody.of)
async def automatic_speech_recognition(
    body: HubSpeechBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``{text}``; with ``return_timestamps`` also ``chunks: [{text, timestamp}]``, in seconds."""
    generation = body.parameters.generation_parameters
    result = await transcribe_audio(
        body.inputs,
        card,
        services,
        FIELDS,
        language=generation.language,
        translate=generation.task == "translate",
    )
    answer: dict[str, Any] = {"text": result.text}
    if body.parameters.return_timestamps:
        answer["chunks"] = [
            {"text": each.text, "timestamp": [each.start, each.end]} for each in result.segments
        ]
    return json_response(answer, {"X-Model": card.name})
