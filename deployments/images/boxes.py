"""Boxes around objects: inside the picture, and one an object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deployments.seam.vision import Detection

Boxes = npt.NDArray[np.float64]

MAX_OVERLAP = 0.5
"""Intersection over union above which two boxes of one label are of one object."""


def detections(
    labels: Sequence[str],
    scores: Sequence[float],
    boxes: Boxes,
    size: tuple[int, int],
    threshold: float,
) -> tuple[Detection, ...]:
    """The objects with at least ``threshold``, best first; ``boxes`` is (objects, 4) in pixels.

    Boxes are cut at the edges of a picture of ``size`` (width, height); what is left with no area
    is no object. Of those that overlap under one label the best stays.
    """
    width, height = size
    inside = np.clip(boxes, 0.0, [width, height, width, height])
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if not scores[index] >= threshold or _area(inside[index]) <= 0:
            continue
        rivals = [k for k in kept if labels[k] == labels[index]]
        if all(overlap(inside[index], inside[k]) <= MAX_OVERLAP for k in rivals):
            kept.append(index)
    return tuple(Detection(labels[i], scores[i], *map(float, inside[i])) for i in kept)


def overlap(one: Boxes, other: Boxes) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax)."""
    least, most = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = float(np.prod(np.clip(most - least, 0.0, None)))
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def _area(box: Boxes) -> float:
    return float(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))
