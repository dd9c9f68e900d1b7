"""Refuses to listen beyond this machine without API keys, unless the settings allow it."""

from __future__ import annotations

import ipaddress

from configs.errors import ConfigError
from configs.settings import PREFIX, Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""The names of this machine in a ``Host`` header."""


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach ``host``. Of names only ``localhost`` counts."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return False


def require_keys(settings: Settings, host: str | None) -> None:
    """Raises :class:`ConfigError` if other machines could send requests without an API key."""
    if settings.needs_keys or settings.allow_anonymous or is_loopback(host):
        return
    where = host or "every address"
    raise ConfigError(
        "http_options.host",
        [
            f"the service would listen on {where} without API keys, for everybody who reaches it: "
            f"set {PREFIX}KEYS_URL or {PREFIX}API_KEYS_FILE, or listen on 127.0.0.1, or, if "
            f"everybody may use it, set {PREFIX}ALLOW_ANONYMOUS=true"
        ],
    )
