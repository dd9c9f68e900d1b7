"""The forms of ``/v1/audio``."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from serve_app.ingress.audio import SILENCE
from serve_app.ingress.routes.transcripts import audio_file
from serve_app.ingress.validation.effects import GreedyTemperature, NoEffect, Off
from serve_app.ingress.validation.fields import AudioSent, Body, LanguageCode, ModelName, example

AUDIO_FILE = audio_file("file")

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
    timestamp_granularities: NoEffect[list[Literal["segment"]]] = Field(
        [], alias="timestamp_granularities[]", description="`[]` is part of its name"
    )

    @field_validator("timestamp_granularities")
    @classmethod
    def _needs_segments(cls, given: list[str], info: ValidationInfo) -> list[str]:
        """As in OpenAI's reference. With that format there are segments anyway."""
        if given and info.data.get("response_format", "verbose_json") != "verbose_json":
            raise ValueError("response_format must be verbose_json with it")
        return given
