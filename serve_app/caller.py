"""Who asks: a hash of the key that the request carries, and nothing of the key itself.

Every route takes ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``. No key is refused here.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers

ANONYMOUS = "anonymous"
"""Everybody who sends no key is the same caller."""


def key_of(headers: Headers) -> str | None:
    """The key of a request; that of ``Authorization`` when there are two."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    return bearer or headers.get("x-api-key", "").strip() or None


async def caller_of(request: Request) -> str:
    """The SHA-256 of the key, in 64 hexadecimal digits."""
    key = key_of(request.headers)
    return ANONYMOUS if key is None else hashlib.sha256(key.encode("latin-1")).hexdigest()


Caller = Annotated[str, Depends(caller_of)]
