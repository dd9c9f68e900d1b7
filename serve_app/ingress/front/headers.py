"""Reads a request's headers once, for the front's checks, and drops those that Serve must not see.

Serve obeys some headers of any client: they set a deadline, continue an answer after the client
left, or choose a model to route to. They are dropped. Serve decodes others as UTF-8 and fails at
invalid bytes, so these are checked.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import Message

from deployments.seam.call_context import MAX_SHARE_LENGTH
from serve_app.ingress import deadline
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.request_id import HEADER, MAX_ID_LENGTH, USABLE

REQUEST_ID = HEADER.encode()
SESSION_ID = b"x-session-id"
FAIRNESS_ID = b"x-llm-d-inference-fairness-id"
REQUEST_TIMEOUT = deadline.HEADER.encode()
TIMELINE = b"x-timeline"
DROPPED = frozenset(
    {
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"serve-multiplexed-model-id",
    }
)
TRACING = frozenset({b"traceparent", b"tracestate"})
"""Serve decodes these where tracing is on."""

SEEN = frozenset(
    {
        b"host",
        b"origin",
        b"authorization",
        b"x-api-key",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        REQUEST_TIMEOUT,
    }
)
SPECIAL = frozenset({REQUEST_ID, SESSION_ID, FAIRNESS_ID, TIMELINE}) | DROPPED | TRACING | SEEN

Raw = tuple[bytes, bytes]


@dataclass(slots=True)
class RequestHeaders:
    """A request's headers. ``unusable`` says what is wrong with a header that must be refused.

    ``share`` is the part of its key's share that the request counts for.
    """

    headers: list[Raw]
    """All that are passed on: with one id, without the session and what Serve must not see."""
    seen: dict[bytes, bytes]
    """Those that the front decides by; the first one if a client sent several."""
    request_id: str
    session: bytes
    share: str
    unusable: tuple[str, str] | None
    """Its name, and what was expected."""

    def check(self) -> None:
        """Raises :class:`ValidationFailed` where a header cannot be used."""
        if self.unusable:
            name, expected = self.unusable
            raise ValidationFailed(f"{name}: expected {expected}", field=name)

    @property
    def timeout_s(self) -> float | None:
        """How long the client waits for its answer, if it says so.

        Raises :class:`ValidationFailed` for anything but a positive number of seconds.
        """
        given = self.seen.get(REQUEST_TIMEOUT)
        return None if given is None else deadline.seconds_in(given)

    @property
    def declared(self) -> int | None:
        """The body's length, if the client declares it."""
        length = self.seen.get(b"content-length", b"")
        return int(length) if length.isdigit() else None

    @property
    def has_body(self) -> bool:
        """Whether a body follows (RFC 9112, 6.3)."""
        return b"transfer-encoding" in self.seen or bool(self.declared)


def read(raw: Iterable[Raw]) -> RequestHeaders:
    """One pass over the headers of a request."""
    forwarded: list[Raw] = []
    seen: dict[bytes, bytes] = {}
    given: bytes | None = None
    session = share = b""
    known_timeline = True
    for header in raw:
        name, value = header
        if b"_" in name:  # Serve accepts both spellings of two headers
            name = _dashed(name)
        if name not in SPECIAL:
            forwarded.append(header)
        elif name == REQUEST_ID:
            given = value if given is None else given
        elif name == SESSION_ID:
            session = session or value
        elif name == FAIRNESS_ID:
            share = share or value
            forwarded.append(header)
        elif name == TIMELINE:
            forwarded.append(header)
            known_timeline = known_timeline and value in (b"", b"0", b"1")
        elif name in SEEN:
            forwarded.append(header)
            # Several codings are one list (RFC 9110, 5.3); of all else the first counts.
            if name == b"content-encoding" and name in seen:
                seen[name] += b", " + value
            else:
                seen.setdefault(name, value)
        elif name in TRACING and value.isascii():
            forwarded.append(header)
    unusable = None
    if given and not USABLE.fullmatch(given):
        unusable, given = (HEADER, printable(MAX_ID_LENGTH)), None
    elif session and not USABLE.fullmatch(session):
        unusable = (SESSION_ID.decode(), printable(MAX_ID_LENGTH))
    elif share and not (USABLE.fullmatch(share) and len(share) <= MAX_SHARE_LENGTH):
        unusable = (FAIRNESS_ID.decode(), printable(MAX_SHARE_LENGTH))
    elif not known_timeline:
        unusable = (TIMELINE.decode(), "1, or 0 for none")
    request_id = given.decode("ascii") if given else uuid.uuid4().hex
    forwarded.append((REQUEST_ID, request_id.encode()))
    share_id = "" if unusable else share.decode("ascii")
    return RequestHeaders(forwarded, seen, request_id, session, share_id, unusable)


def printable(length: int) -> str:
    return f"at most {length} printable characters without spaces"


def with_id(start: Message, request_id: str) -> Message:
    """The start message of an answer, with this id and no other."""
    headers = [each for each in start.get("headers", ()) if each[0] != REQUEST_ID]
    headers.append((REQUEST_ID, request_id.encode()))
    return {**start, "headers": headers}


def _dashed(name: bytes) -> bytes:
    dashed = name.replace(b"_", b"-")
    return dashed if dashed in {SESSION_ID, b"serve-multiplexed-model-id"} else name
