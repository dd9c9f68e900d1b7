"""The request id: the client's ``X-Request-ID`` if it is usable, else one that the front makes."""

from __future__ import annotations

import re

from starlette.types import Scope

HEADER = "x-request-id"
MAX_ID_LENGTH = 128
USABLE = re.compile(rb"[\x21-\x7e]{1,128}")
"""Printable, without spaces, bounded: safe in headers, log lines and server-sent events."""


def request_id_of(scope: Scope) -> str:
    """The request's id, which the front has put into the scope."""
    return str(scope["state"]["request_id"])
