"""The address at which Serve listens, which decides whether requests need a key."""

from __future__ import annotations

import ray
from ray.serve.context import _get_global_client

from configs.exposure import require_keys
from configs.settings import Settings


def checked_host(settings: Settings) -> str | None:
    """Where Serve listens, if it runs.

    Raises :class:`configs.errors.ConfigError` when other machines could call without a key.
    """
    host = served_host()
    if host is not None:
        require_keys(settings, host)
    return host


def served_host() -> str | None:
    """Serve's ``http_options.host``; ``None`` where no Serve runs."""
    if not ray.is_initialized():  # the call below would start Ray
        return None
    client = _get_global_client(raise_if_no_controller_running=False)
    return None if client is None else client.http_config.host
