"""``POST /v1/audio/transcriptions`` and ``/v1/audio/translations``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends
from starlette.responses import Response

from serve_app.ingress.routes.context import RequestServices, Services
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.audio.answer import OpenAITranscription, formatted
from serve_app.ingress.routes.openai.audio.body import (
    AUDIO_FILE,
    AudioTranscriptionBody,
    AudioTranslationBody,
)
from serve_app.ingress.routes.openai.shapes import ERRORS
from serve_app.ingress.routes.transcripts import TRANSCRIBE, transcribe_audio
from serve_app.ingress.routes.upload_body import UploadBody
from serve_app.ingress.validation.limits import check_prompt

FIELDS = {"audio": "file"}
TRANSCRIPTION = UploadBody(AudioTranscriptionBody, AUDIO_FILE)
TRANSLATION = UploadBody(AudioTranslationBody, AUDIO_FILE)
TEXTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}}}

router = InferenceRouter(prefix="/v1", tags=["openai"], responses=ERRORS)


@router.inference(
    "/audio/transcriptions",
    TRANSCRIBE,
    summary="What is said in a recording",
    response_model=OpenAITranscription,
    responses=TEXTS,
    openapi_extra=TRANSCRIPTION.documented(),
)
async def transcriptions(
    body: Annotated[AudioTranscriptionBody, Depends(TRANSCRIPTION)], services: RequestServices
) -> Response:
    """In the language that is spoken."""
    return await _answered(body, services, language=body.language, task="transcribe")


@router.inference(
    "/audio/translations",
    TRANSCRIBE,
    summary="What is said in a recording, in English",
    response_model=OpenAITranscription,
    responses=TEXTS,
    openapi_extra=TRANSLATION.documented(),
)
async def translations(
    body: Annotated[AudioTranslationBody, Depends(TRANSLATION)], services: RequestServices
) -> Response:
    """In English, by a model that knows the language that is spoken."""
    return await _answered(body, services, language=None, task="translate")


async def _answered(
    body: AudioTranslationBody, services: Services, *, language: str | None, task: str
) -> Response:
    if body.prompt:
        check_prompt(body.prompt, services.settings, "prompt")
    card = await services.catalog.resolve(TRANSCRIBE, body.model, "model")
    result = await transcribe_audio(
        body.file,
        card,
        services,
        FIELDS,
        language=language,
        translate=task == "translate",
        prompt=body.prompt,
    )
    return formatted(result, body.response_format, task)
