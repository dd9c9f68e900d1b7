"""Finds the one file that a recipe converts."""

from __future__ import annotations

from pathlib import Path

from deployments.conversion.errors import ConversionError


def only_file(origin: Path, suffix: str) -> Path:
    """The only file with ``suffix`` below ``origin``. Raises :class:`ConversionError`."""
    files = sorted(origin.rglob(f"*{suffix}"))
    if len(files) != 1:
        names = ", ".join(str(file.relative_to(origin)) for file in files) or "none"
        raise ConversionError(f"expected one {suffix} file in {origin}, found: {names}")
    return files[0]
