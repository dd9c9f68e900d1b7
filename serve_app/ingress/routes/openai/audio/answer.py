"""A transcript in each of OpenAI's formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from deployments.seam.transcription import Segment, TranscriptionResult
from serve_app.ingress.routes.context import json_response

FRAMES_PER_SECOND = 100
"""``seek`` is in frames of Whisper's features."""


class OpenAITranscription(BaseModel):
    """With ``verbose_json`` also the language, the duration in seconds, and the segments."""

    text: str
    usage: dict[str, Any]
    task: str | None = None
    language: str | None = None
    duration: float | None = None
    segments: list[dict[str, Any]] | None = None


def formatted(result: TranscriptionResult, response_format: str, task: str) -> Response:
    """The response; ``task`` is ``transcribe`` or ``translate``."""
    if response_format in TEXTS:
        return PlainTextResponse(TEXTS[response_format](result))
    usage = {"type": "duration", "seconds": result.seconds}
    if response_format == "json":
        return json_response({"text": result.text, "usage": usage})
    return json_response(
        {
            "task": task,
            "language": result.language,
            "duration": result.seconds,
            "text": result.text,
            "segments": [_verbose(*each) for each in enumerate(result.segments)],
            "usage": usage,
        }
    )


def _verbose(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": round(segment.seek * FRAMES_PER_SECOND),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech,
    }


def _text(result: TranscriptionResult) -> str:
    return f"{result.text}\n"


def _srt(result: TranscriptionResult) -> str:
    """SubRip's subtitles."""
    cues = [
        f"{number}\n{_time(each.start, ',')} --> {_time(each.end, ',')}\n{_line(each)}\n"
        for number, each in enumerate(result.segments, 1)
    ]
    return "\n".join(cues)


def _vtt(result: TranscriptionResult) -> str:
    """Subtitles of the web: https://www.w3.org/TR/webvtt1/."""
    cues = [
        f"{_time(each.start, '.')} --> {_time(each.end, '.')}\n{_line(each)}\n"
        for each in result.segments
    ]
    return "\n".join(["WEBVTT\n", *cues])


TEXTS: Mapping[str, Callable[[TranscriptionResult], str]] = {
    "text": _text,
    "srt": _srt,
    "vtt": _vtt,
}


def _line(segment: Segment) -> str:
    """The text of a cue, in which an arrow would be read as a time."""
    return segment.text.strip().replace("-->", "->")


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"
