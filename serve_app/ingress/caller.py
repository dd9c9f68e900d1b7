"""The caller of a request, identified by its API key.

A key is sent as ``Authorization: Bearer KEY`` or as ``X-API-Key: KEY``. Only the front checks keys.
Where it knows none, every key is a caller of its own.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.errors import AuthenticationError
from serve_app.ingress.front.exchange import STATE_KEY, FrontExchange

ANONYMOUS = "anonymous"
"""All requests without a key have this one caller."""


def key_in(authorization: str, x_api_key: str) -> str | None:
    """The key in the two headers. ``Authorization`` comes first when both have one."""
    scheme, _, credentials = authorization.partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    return bearer or x_api_key.strip() or None


def admitted_key(scope: Scope) -> ApiKey | None:
    """The key of a request, which the front has found among those that it knows."""
    exchange: FrontExchange | None = scope.get("state", {}).get(STATE_KEY)
    return None if exchange is None else exchange.key


async def caller_of(request: Request) -> str:
    """The SHA-256 of the caller's first key, in 64 hexadecimal digits.

    Raises :class:`AuthenticationError` where anybody may call from other machines and the front
    knows no keys: :data:`ANONYMOUS`, or a key that clients have by default, would be many people.
    """
    key = admitted_key(request.scope)
    if key is not None:
        return key.owner
    if request.app.state.for_everybody:
        raise AuthenticationError(
            "This needs an API key that is known here, since other machines reach this service."
        )
    given = request.headers
    presented = key_in(given.get("authorization", ""), given.get("x-api-key", ""))
    if presented is None:
        return ANONYMOUS
    return hashlib.sha256(presented.encode("latin-1")).hexdigest()


Caller = Annotated[str, Depends(caller_of)]
