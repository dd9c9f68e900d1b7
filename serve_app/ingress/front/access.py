"""Who may ask for what: by the path of a request, and by where a browser says it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable

from configs.exposure import LOOPBACK_NAMES
from serve_app.ingress.errors import AuthorizationError
from serve_app.ingress.front.keys import ADMIN, INFERENCE

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._\-]+)(:[0-9]{0,5})?")
ORIGIN = re.compile(rf"[a-z][a-z0-9+.\-]*://{HOST.pattern}")
READS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN = re.compile(
    r"/|/docs|/redoc|/openapi\.json|/docs/assets/[^/]+|/health|/health/(live|readi)ness"
)
NAMES = re.compile(r"/(models|conversations)/")
"""Below these a path is a name of the client's or of a model's, however it ends."""
MODELS = "/api/v1/huggingface/models/"
METRICS = "/metrics"


def scope_of(method: str, path: str) -> str | None:
    """The scope that a request needs; ``None`` where it needs no key.

    Open are health and documentation, and a browser's question before a request of another origin,
    which carries no key. Where the application has a prefix, these paths are other ones: more needs
    a key then, not less.
    """
    if method == "OPTIONS" or (method in READS and OPEN.fullmatch(path)):
        return None
    if method in READS:
        return ADMIN if path.endswith(METRICS) and not NAMES.search(path) else INFERENCE
    before, models, _ = path.partition(MODELS)
    return ADMIN if models and not NAMES.search(f"{before}/") else INFERENCE


class AllowedHosts:
    """Refuses what a page elsewhere makes a browser send to a service of this machine.

    A name of the page's own that resolves to this machine (DNS rebinding) is in ``Host``. A form or
    script that needs no answer comes with its ``Origin``.
    """

    def __init__(self, names: Iterable[str], origins: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names) | LOOPBACK_NAMES
        self._origins = frozenset(origins)

    def check(self, method: str, host: bytes, origin: bytes) -> None:
        """Raises :class:`AuthorizationError`. Without a ``Host`` it is no browser."""
        if host and _name(HOST, host) not in self._names:
            raise AuthorizationError(
                "The Host header names none of this service's hosts (setting allowed_hosts)."
            )
        if not origin or method in READS or self._takes(origin):
            return
        raise AuthorizationError("The Origin header names a site that may not call this service.")

    def _takes(self, origin: bytes) -> bool:
        known = "*" in self._origins or origin.decode("latin-1") in self._origins
        return known or _name(ORIGIN, origin) in self._names


def _name(form: re.Pattern[str], value: bytes) -> str | None:
    found = form.fullmatch(value.decode("latin-1").lower())
    return found["name"].rstrip(".") if found else None
