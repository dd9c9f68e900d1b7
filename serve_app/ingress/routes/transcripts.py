"""Calls a model that transcribes a recording."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.seam.transcription import TranscriptionRequest, TranscriptionResult
from serve_app.ingress.audio import AUDIO, FORMATS
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.upload_body import Upload

TRANSCRIBE = "transcribe"


def audio_file(field: str) -> Upload:
    """A form's part ``file``, which becomes the body's ``field``."""
    return Upload("file", field, f"an audio file: {' or '.join(FORMATS)}")


async def transcribe_audio(
    sent: str | bytes,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
    *,
    language: str | None = None,
    translate: bool = False,
    prompt: str | None = None,
) -> TranscriptionResult:
    """What is said in a file, sent as bytes or as text.

    ``fields`` are the route's names for the fields of the model side, for errors.
    """
    field = fields.get("audio", "audio")
    audio = await services.files.received(sent, AUDIO, services.settings, field)
    request = TranscriptionRequest(card.name, audio, language, translate, prompt)
    result: TranscriptionResult = await services.client.call(
        card.family, "transcribe", request, fields
    )
    return result
