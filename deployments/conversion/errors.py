"""Conversion errors."""

from __future__ import annotations


class ConversionError(Exception):
    """The origin is not what the recipe expects."""
