"""``X-Request-ID``: the client's when it sends a usable one, else one that the front makes."""

from __future__ import annotations

import re

from starlette.types import Scope

HEADER = "x-request-id"
USABLE = re.compile(rb"[\x21-\x7e]{1,128}")
"""Printable, no spaces, bounded: safe in a header, in a log line and in an SSE event."""


def request_id_of(scope: Scope) -> str:
    """The request's id, which the front put there before anything else ran."""
    return str(scope["state"]["request_id"])
