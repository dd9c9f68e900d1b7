"""Why a model is not served. The messages are for clients: they name files, but no paths."""

from __future__ import annotations


class ModelRefusedError(ValueError):
    """The model is there, but cannot be served; the message says what it is or what is wrong."""


class ModelNotThereError(LookupError):
    """There is no such model where its source says."""
