"""Cosine similarity, from -1 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from deployments.seam.embeddings import Vectors
from serve_app.ingress.errors import ValidationFailed


def cosines(vectors: Vectors, other: Vectors) -> Vectors:
    """The cosines of vectors of length 1 with ``other``, clipped: rounding may give 1.0000001."""
    found: Vectors = np.clip(vectors @ other, -1.0, 1.0)
    return found


def cosine(first: Any, second: Any) -> float:
    """The cosine of two vectors of any length. Errors name them ``text1`` and ``text2``."""
    if first.shape != second.shape:
        message = f"the vectors have {len(first)} and {len(second)} dimensions"
        raise ValidationFailed(f"text1 and text2: {message}.", field="text2")
    cosine = float(_direction(first, "text1") @ _direction(second, "text2"))
    return min(1.0, max(-1.0, cosine))


def _direction(vector: Any, field: str) -> Any:
    """The vector at length 1. It is scaled first, since squares of 1e200 or 1e-200 overflow."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        raise ValidationFailed(f"{field} has no direction (length {largest}).", field=field)
    scaled = vector / largest
    return scaled / np.linalg.norm(scaled)
