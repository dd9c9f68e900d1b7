"""Access rules: the scope that a path needs, and the hosts and origins that are allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from configs.exposure import LOOPBACK_NAMES
from serve_app.ingress.api_key import ADMIN, INFERENCE
from serve_app.ingress.errors import AuthorizationError

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._\-]+)(:[0-9]{0,5})?")
ORIGIN = re.compile(rf"[a-z][a-z0-9+.\-]*://{HOST.pattern}")
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = re.compile(
    r"/|/playground/[^/]+|/docs|/redoc|/openapi\.json|/docs/assets/[^/]+"
    r"|/health|/health/(live|readi)ness"
)
NAMES = re.compile(r"/(models|conversations)/")
"""The rest of such a path is the name of a model or a user, however it ends."""
MODELS = "/api/v1/huggingface/models/"
METRICS = "/metrics"


def scope_of(method: str, path: str) -> str | None:
    """The scope that a request needs; ``None`` where it needs no key.

    Health and documentation need none, nor does a browser's preflight request (OPTIONS), which
    carries no key. If the application is served below a prefix, these paths do not match, so that
    more requests need a key and never fewer.
    """
    if method == "OPTIONS" or (method in READ_METHODS and OPEN_PATHS.fullmatch(path)):
        return None
    if method in READ_METHODS:
        return ADMIN if path.endswith(METRICS) and not NAMES.search(path) else INFERENCE
    before, models, _ = path.partition(MODELS)
    return ADMIN if models and not NAMES.search(f"{before}/") else INFERENCE


class AllowedHosts:
    """Refuses requests that a foreign web page makes a browser send to a service on this machine.

    With DNS rebinding the page's own host name resolves to this machine, and is in ``Host``. A form
    or script that needs no answer has the page's address in ``Origin``.
    """

    def __init__(self, names: Iterable[str], origins: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names) | LOOPBACK_NAMES
        self._origins = frozenset(origins)

    def check(self, method: str, host: bytes, origin: bytes) -> None:
        """Raises :class:`AuthorizationError`. A request without ``Host`` is not a browser's."""
        if host and _host_name(HOST, host) not in self._names:
            raise AuthorizationError(
                "The Host header names none of this service's hosts (setting allowed_hosts)."
            )
        if not origin or method in READ_METHODS or self._allows(origin):
            return
        raise AuthorizationError("The Origin header names a site that may not call this service.")

    def _allows(self, origin: bytes) -> bool:
        known = "*" in self._origins or origin.decode("latin-1") in self._origins
        return known or _host_name(ORIGIN, origin) in self._names


def _host_name(form: re.Pattern[str], value: bytes) -> str | None:
    found = form.fullmatch(value.decode("latin-1").lower())
    return found["name"].rstrip(".") if found else None
