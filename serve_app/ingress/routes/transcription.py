"""``POST /audio/transcribe``: what is said in a recording."""

from __future__ import annotations

from pydantic import BaseModel

from serve_app.ingress.audio import SILENCE
from serve_app.ingress.routes.context import NATIVE_FIELDS, Context, RequestServices, TaskResult
from serve_app.ingress.routes.generation_fields import usage
from serve_app.ingress.routes.huggingface.transcription import hub_tasks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.transcripts import TRANSCRIBE, audio_file, transcribe_audio
from serve_app.ingress.validation.fields import (
    Answer,
    AudioSent,
    Body,
    LanguageCode,
    ModelName,
    example,
)
from serve_app.ingress.validation.limits import check_prompt

router = NativeRouter("audio", upload=audio_file("audio"))
router.hub_tasks.add(hub_tasks)


class TranscribeBody(Body):
    model_config = example(audio=SILENCE)

    audio: AudioSent
    language: LanguageCode | None = None
    translate: bool = False
    prompt: str | None = None
    model_name: ModelName | None = None


class TranscribedSegment(BaseModel):
    """``start`` and ``end`` are in seconds."""

    start: float
    end: float
    text: str


class TranscribeAnswer(Answer):
    """``language`` is a code; ``duration`` of the recording, in seconds."""

    text: str
    segments: list[TranscribedSegment]
    language: str
    duration: float
    usage: dict[str, int]


@router.task(
    "/audio/transcribe",
    TRANSCRIBE,
    step="transcribe",
    answer=TranscribeAnswer,
    summary="What is said in a recording",
)
async def transcribe(
    body: TranscribeBody, services: RequestServices, context: Context
) -> TaskResult:
    """``{text, segments: [{start, end, text}]}``, decoded greedily in windows of 30 s.

    ``language`` is a code or a name in English, which the model finds out without it; ``translate``
    asks for English. The model follows the words and the spelling of ``prompt``.
    """
    if body.prompt:
        check_prompt(body.prompt, services.settings, "prompt")
    card = await services.catalog.resolve(TRANSCRIBE, body.model_name)
    result = await transcribe_audio(
        body.audio,
        card,
        services,
        NATIVE_FIELDS,
        language=body.language,
        translate=body.translate,
        prompt=body.prompt,
    )
    segments = [
        {"start": each.start, "end": each.end, "text": each.text.strip()}
        for each in result.segments
    ]
    return TaskResult(
        {
            "text": result.text,
            "segments": segments,
            "language": result.language,
            "duration": result.seconds,
            "usage": usage(result.prompt_tokens, result.completion_tokens),
        },
        card.name,
    )
