"""The forms of ``/v1/audio``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.text2text_calls import LanguageCode
from serve_app.ingress.routes.upload_body import AUDIO, SILENCE, Upload
from serve_app.ingress.validation.effects import GreedyTemperature, NoEffect, Off
from serve_app.ingress.validation.fields import AudioSent, Body, ModelName, example

AUDIO_FILE = Upload("file", "file", AUDIO)

GRANULARITIES = "timestamp_granularities[]"
Granularity: TypeAlias = Annotated[str, StringConstraints(max_length=20)]
ResponseFormat: TypeAlias = Literal["json", "text", "srt", "verbose_json", "vtt"]


class AudioTranslationBody(Body):
    """A recording in any language. ``temperature`` can only be 0."""

    model_config = example(file=SILENCE)

    file: AudioSent
    model: ModelName | None = None
    prompt: str | None = None
    response_format: ResponseFormat = "json"
    temperature: GreedyTemperature = None


class AudioTranscriptionBody(AudioTranslationBody):
    """A recording. ``language`` is a code, which the model finds out without it."""

    language: LanguageCode | None = None
    stream: Off = None
    chunking_strategy: NoEffect[Literal["auto"] | None] = None
    timestamp_granularities: list[Granularity] = Field([], alias=GRANULARITIES, max_length=2)

    def check_granularities(self) -> None:
        """Raises :class:`ValidationFailed` for times of words."""
        others = [each for each in self.timestamp_granularities if each != "segment"]
        if others:
            message = f"{GRANULARITIES} can only be segment here, not {others[0]}."
            raise ValidationFailed(message, field=GRANULARITIES)
