"""Cosine similarity of vectors, clipped to -1 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from deployments.seam.embeddings import Vectors
from serve_app.ingress.errors import ValidationFailed


def cosines(vectors: Vectors, other: Vectors) -> Vectors:
    """The cosines of ``vectors`` with ``other``, all of length 1. Rounding alone may exceed 1."""
    found: Vectors = np.clip(vectors @ other, -1.0, 1.0)
    return found


def cosine(first: Any, second: Any) -> float:
    """The cosine of two vectors of any length. Errors name them ``text1`` and ``text2``."""
    if first.shape != second.shape:
        message = f"the vectors have {len(first)} and {len(second)} dimensions"
        raise ValidationFailed(f"text1 and text2: {message}.", field="text2")
    lengths = [float(np.linalg.norm(vector)) for vector in (first, second)]
    for name, length in zip(("text1", "text2"), lengths, strict=True):
        if length == 0.0 or not np.isfinite(length):
            raise ValidationFailed(f"{name} has no direction (length {length}).", field=name)
    cosine = float((first / lengths[0]) @ (second / lengths[1]))
    return min(1.0, max(-1.0, cosine))
