"""The context of a call: whose request it belongs to, and how long that may still take.

These are named tuples and not dataclasses: one travels with every call, and they pickle faster.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

ANONYMOUS = "(anonymous)"
"""The tenant of all requests where the service has no keys. No key may have this name."""

MAX_SHARE_LENGTH = 64


class CallContext(NamedTuple):
    """The request that a call belongs to.

    ``tenant`` is the name of the API key, and ``weight`` the part of the work that it gets when
    several tenants want more than there is. ``share`` splits the part of one tenant: up to
    ``MAX_SHARE_LENGTH`` characters that the client chose, or none. ``seconds_left`` until the
    request's deadline are relative, because the clocks of two nodes differ. ``traceparent`` names
    the request's span (W3C Trace Context); it is empty where the request is not traced.
    """

    tenant: str = ANONYMOUS
    share: str = ""
    weight: float = 1.0
    seconds_left: float = math.inf
    traceparent: str = ""


class ContextualCall(NamedTuple):
    """A request in its context. With ``timed`` its stages are told with its answer."""

    request: Any
    context: CallContext
    timed: bool = False

    @property
    def model(self) -> str | None:
        """The model that the request names, if any."""
        model: str | None = getattr(self.request, "model", None)
        return model
