"""Refuses requests before the application sees them, while their families have no time for them.

The application would refuse them too, after it has parsed and checked them, which takes several
times as long. Here a request is only refused if the application would certainly do so: what its
model is, and how much it asks for, is not known for certain.
"""

from __future__ import annotations

import re

from starlette.types import Scope

from deployments.seam.call_context import CallContext
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.admission import Admission
from serve_app.ingress.cluster.family_load import Tenant
from serve_app.ingress.deadline import seconds_left
from serve_app.ingress.front.front import context_of
from serve_app.ingress.metering.purposes import Purposes

MAX_TOKENS = re.compile(rb'"max_(?:(?:completion_|new_|output_)?tokens|length)"\s*:\s*(\d{1,9})')
"""In a body: at most so many tokens are asked for, unless this is part of a text."""

MAX_SCANNED = 64 * 1024

CHAT, GENERATE = "chat", "generate"
LEAST_TOKENS = 16
"""That a text may have whose request does not say how many: OpenAI's completions have the least."""


class EarlyRefusals:
    """``timeout_s`` is the deadline of requests that set none."""

    def __init__(
        self, purposes: Purposes, catalog: Catalog, admission: Admission, timeout_s: float
    ) -> None:
        self._purposes = purposes
        self._catalog = catalog
        self._admission = admission
        self._timeout_s = timeout_s

    def check(self, scope: Scope, body: bytes) -> None:
        """Raises :class:`~serve_app.ingress.errors.TooManyRequests`."""
        if not self._admission.is_under_load or len(body) > MAX_SCANNED:
            return
        purpose = self._purposes.of(scope["method"], scope["path"])
        if purpose is None or not purpose.model_tasks:
            return
        tasks = set(purpose.model_tasks)
        cards = (card for card in self._catalog.cards if not tasks.isdisjoint(card.tasks))
        found = MAX_TOKENS.search(body)
        least = LEAST_TOKENS if GENERATE in tasks else 1
        most = None if tasks == {CHAT} else least  # a chat may have all that fits the window
        context = context_of(scope) or CallContext()
        self._admission.check_any(
            {card.family for card in cards},
            most if found is None else int(found[1]),
            seconds_left(scope, self._timeout_s),
            Tenant(context.tenant, context.weight),
        )
