"""Detections out of a model's boxes and scores: clipped to the image, without duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from deployments.seam.vision import Detection

Boxes: TypeAlias = npt.NDArray[np.float64]

MAX_OVERLAP = 0.5
"""Two boxes of one label are of the same object if their intersection over union exceeds this."""


def detections(
    labels: Sequence[str],
    scores: Sequence[float],
    boxes: Boxes,
    size: tuple[int, int],
    threshold: float,
) -> tuple[Detection, ...]:
    """The objects that score at least ``threshold``, best first, after non-maximum suppression.

    ``boxes`` has shape (objects, 4), in pixels. Boxes are clipped to an image of ``size`` (width,
    height); one without any area left is dropped. Of the boxes of one label that overlap, only the
    best is kept.
    """
    width, height = size
    inside = np.clip(boxes, 0.0, [width, height, width, height])
    selected: list[int] = []
    for index in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if not scores[index] >= threshold or _area(inside[index]) <= 0:
            continue
        rivals = [k for k in selected if labels[k] == labels[index]]
        if all(overlap(inside[index], inside[k]) <= MAX_OVERLAP for k in rivals):
            selected.append(index)
    return tuple(Detection(labels[i], scores[i], *map(float, inside[i])) for i in selected)


def overlap(one: Boxes, other: Boxes) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax)."""
    start, end = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = float(np.prod(np.clip(end - start, 0.0, None)))
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def _area(box: Boxes) -> float:
    return float(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))
