"""Answers of Serve's own, which are plain text, in the words of this service."""

from __future__ import annotations

from starlette.types import Message

from serve_app.ingress.errors import (
    DeadlineExceeded,
    InternalError,
    NotFound,
    ServiceError,
    TooManyRequests,
    Unavailable,
)

SERVES = frozenset({404, 408, 429, 500, 503})
"""The statuses of Serve's entry; an error of the application is JSON."""
ALLOWED = b"access-control-"


def is_plain_error(start: Message) -> bool:
    """Whether an answer begins that Serve makes where the application was not asked."""
    if start["status"] not in SERVES:
        return False
    found = {bytes(name).lower(): bytes(value) for name, value in start.get("headers", ())}
    return found.get(b"content-type", b"text/plain").startswith(b"text/plain")


class ServeAnswer:
    """The beginning of such an answer, until its text is there."""

    __slots__ = ("_retry_after", "_status", "kept", "translated")

    def __init__(self, start: Message) -> None:
        headers = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        self._status = start["status"]
        self._retry_after = dict(headers).get(b"retry-after", b"")
        self.kept = [each for each in headers if each[0].startswith(ALLOWED) or each[0] == b"vary"]
        self.translated = False

    def error(self, text: bytes) -> ServiceError:
        """What it says, without the text, which may name internals."""
        wait_s = max(1, int(self._retry_after)) if self._retry_after.isdigit() else None
        match self._status:
            case 404:
                return NotFound("There is no such route.")
            case 408:
                return DeadlineExceeded("The answer did not come in time.")
            case 503 if b"backpressure" not in text:
                return Unavailable("The service cannot answer now.", wait_s or 2)
            case 429 | 503:
                return TooManyRequests("Too many requests wait for an answer.", wait_s or 1)
        return InternalError()
