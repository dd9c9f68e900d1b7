"""Large files are checked in a few threads of their own, off the event loop."""

from __future__ import annotations

import base64
import threading

import numpy as np
import pytest

from configs.settings import Settings
from serve_app.ingress.audio import AUDIO
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.file_intake import THREAD_BYTES, FileIntake, FileKind
from serve_app.ingress.images import IMAGE
from tests.deployments.speech.recordings import file_of, noise
from tests.serve_app.ingress.test_images import encoded, random_image

SETTINGS = Settings()
LARGE = {IMAGE.name: random_image(80), AUDIO.name: noise(1)}
SMALL = {IMAGE.name: encoded(), AUDIO.name: file_of(np.zeros(100))}


def watched(kind: FileKind) -> tuple[FileKind, list[str]]:
    """``kind``, and the names of the threads in which it checks."""
    names: list[str] = []

    def check(raw: bytes, settings: Settings, field: str) -> bytes:
        names.append(threading.current_thread().name)
        return kind.check(raw, settings, field)

    return FileKind(kind.name, check), names


@pytest.mark.parametrize("kind", [IMAGE, AUDIO])
async def test_only_a_large_file_is_checked_in_a_thread_of_the_intake(kind: FileKind) -> None:
    seen, names = watched(kind)
    intake = FileIntake(1)
    for raw in (LARGE[kind.name], SMALL[kind.name]):
        assert await intake.received(raw, seen, SETTINGS, "it") == raw
        text = base64.b64encode(raw).decode()
        assert await intake.received(text, seen, SETTINGS, "it") == raw
        assert await intake.received(f"data:any/type;base64,{text}", seen, SETTINGS, "it") == raw
    own = threading.current_thread().name
    assert [name.startswith("file-check") for name in names] == [True] * 3 + [False] * 3
    assert names[3:] == [own] * 3


@pytest.mark.parametrize("kind", [IMAGE, AUDIO])
@pytest.mark.parametrize("sent", ["*" * THREAD_BYTES, b"*" * THREAD_BYTES, "/etc/passwd", "a*b"])
async def test_what_is_no_such_file_is_an_error_of_its_field(
    kind: FileKind, sent: str | bytes
) -> None:
    with pytest.raises(ValidationFailed) as failed:
        await FileIntake(1).received(sent, kind, SETTINGS, "it")
    assert failed.value.field == "it"
