"""Bounds the memory of all answers that wait for their clients to read them."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.types import Message

from serve_app.ingress.errors import ServiceError, TooManyRequests
from serve_app.ingress.front.serve_answers import ServeAnswer

SMALL = 64 * 1024
"""Smaller answers leave at once, into the buffers of the server and of the system."""


class AnswerRoom:
    """Room for ``max_bytes`` of answers of one replica, or for one larger answer alone.

    Streams take none: each of their events waits until the one before was taken.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0

    def take(self, nbytes: int) -> bool:
        """Whether there was room for an answer, which is taken then."""
        if self._taken and self._taken + nbytes > self._max_bytes:
            return False
        self._taken += nbytes
        return True

    def give_back(self, nbytes: int) -> None:
        self._taken -= nbytes


class AnswerWithoutRoom(ServeAnswer):
    """An answer that is not sent, since other clients do not read theirs; an error is, instead."""

    def error(self, text: bytes) -> ServiceError:
        return TooManyRequests("The answers to other requests take all memory for them.", 2)


def large_size(start: Message) -> int:
    """The bytes of an answer that begins; 0 for a stream and for a small one."""
    for name, value in start.get("headers", ()):
        if bytes(name).lower() == b"content-length":
            length = int(value) if bytes(value).isdigit() else 0
            return length if length > SMALL else 0
    return 0


def pieces_of(message: Message) -> Iterator[Message]:
    """A message of an answer, with its body in pieces that are small."""
    body, more = message.get("body", b""), message.get("more_body", False)
    if len(body) <= SMALL:
        yield message
        return
    for at in range(0, len(body), SMALL):
        end = at + SMALL
        yield {**message, "body": body[at:end], "more_body": more or end < len(body)}
