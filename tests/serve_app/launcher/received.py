"""Calls the handler that a signal has."""

from __future__ import annotations

import signal


def receive(number: int) -> None:
    """As if the signal had come. A real one could reach a library's handler in this process, which
    earlier tests share; ``tests/e2e/test_launcher.py`` sends real ones."""
    handler = signal.getsignal(number)
    assert callable(handler)
    handler(number, None)
