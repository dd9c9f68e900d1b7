"""The caller of a request, identified by the hash of its API key.

A key is sent as ``Authorization: Bearer KEY`` or as ``X-API-Key: KEY``. Only the front checks keys.
Without a file of keys every key is a caller of its own.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Depends, Request

ANONYMOUS = "anonymous"
"""All requests without a key have this one caller."""


def key_in(authorization: str, x_api_key: str) -> str | None:
    """The key in the two headers. ``Authorization`` comes first when both have one."""
    scheme, _, credentials = authorization.partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    return bearer or x_api_key.strip() or None


async def caller_of(request: Request) -> str:
    """The SHA-256 of the request's key, in 64 hexadecimal digits."""
    given = request.headers
    key = key_in(given.get("authorization", ""), given.get("x-api-key", ""))
    return ANONYMOUS if key is None else hashlib.sha256(key.encode("latin-1")).hexdigest()


Caller = Annotated[str, Depends(caller_of)]
