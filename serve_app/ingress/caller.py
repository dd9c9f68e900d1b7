"""Who asks: a hash of the key that the request carries, and nothing of the key itself.

Every route takes ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``. Which keys are known is the
front's business, and where it knows none every key is a caller of its own.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Depends, Request

ANONYMOUS = "anonymous"
"""Everybody who sends no key is the same caller."""


def key_in(authorization: str, x_api_key: str) -> str | None:
    """The key in a request's two headers; that of ``Authorization`` when there are two keys."""
    scheme, _, credentials = authorization.partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    return bearer or x_api_key.strip() or None


async def caller_of(request: Request) -> str:
    """The SHA-256 of the key, in 64 hexadecimal digits."""
    given = request.headers
    key = key_in(given.get("authorization", ""), given.get("x-api-key", ""))
    return ANONYMOUS if key is None else hashlib.sha256(key.encode("latin-1")).hexdigest()


Caller = Annotated[str, Depends(caller_of)]
