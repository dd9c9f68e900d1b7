"""Translates the plain-text errors that Serve itself answers into this service's errors."""

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

SERVE_STATUSES = frozenset({404, 408, 429, 500, 503})
"""Statuses of Serve's own errors. Those of the application are JSON."""
CORS = b"access-control-"


def is_plain_error(start: Message) -> bool:
    """Whether this starts an error that Serve answers without the application."""
    if start["status"] not in SERVE_STATUSES:
        return False
    for name, value in start.get("headers", ()):
        if bytes(name).lower() == b"content-type":
            return bytes(value).startswith(b"text/plain")
    return True


class ServeAnswer:
    """The status and headers of such an error, held until its text arrives."""

    __slots__ = ("_retry_after", "_status", "cors_headers", "translated")

    def __init__(self, start: Message) -> None:
        headers = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        self._status = start["status"]
        self._retry_after = dict(headers).get(b"retry-after", b"")
        self.cors_headers = [
            each for each in headers if each[0].startswith(CORS) or each[0] == b"vary"
        ]
        self.translated = False

    def error(self, text: bytes) -> ServiceError:
        """The error, without the text of Serve, which may name internals."""
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
