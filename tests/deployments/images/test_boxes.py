"""Detections keep exactly to the threshold, lie inside the image, and are one for each object."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.images.boxes import detections, overlap
from deployments.seam.vision import Detection

SIZE = (100, 50)


def found(*objects: tuple[str, float, tuple[int, ...]], threshold: float = 0.5) -> list[Detection]:
    labels = [label for label, _, _ in objects]
    scores = [score for _, score, _ in objects]
    boxes = np.array([box for _, _, box in objects], float)
    return list(detections(labels, scores, boxes, SIZE, threshold))


def test_the_best_object_comes_first_and_none_is_below_the_threshold() -> None:
    objects = [("a", 0.5, (0, 0, 9, 9)), ("b", 0.9, (20, 0, 29, 9)), ("c", 0.49, (40, 0, 49, 9))]
    assert [each.label for each in found(*objects)] == ["b", "a"]
    assert [each.label for each in found(*objects, threshold=0.0)] == ["b", "a", "c"]
    assert found(*objects, threshold=1.0) == []


def test_boxes_are_clipped_and_those_outside_the_image_are_dropped() -> None:
    (inside,) = found(("a", 0.9, (-5, 10, 120, 60)), ("b", 0.9, (101, 0, 140, 20)))
    assert (inside.xmin, inside.ymin, inside.xmax, inside.ymax) == (0, 10, 100, 50)


def test_of_overlapping_boxes_of_one_label_the_best_is_kept() -> None:
    one, nearly, apart = (0, 0, 20, 20), (1, 1, 21, 21), (15, 15, 35, 35)
    kept = found(("a", 0.6, one), ("a", 0.9, nearly), ("a", 0.7, apart), ("b", 0.8, one))
    assert [(each.label, each.score) for each in kept] == [("a", 0.9), ("b", 0.8), ("a", 0.7)]


def test_nothing_found_is_no_detections() -> None:
    assert detections([], [], np.zeros((0, 4)), SIZE, 0.5) == ()


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0, 0, 10, 10), 1.0), ((5, 0, 15, 10), 1 / 3), ((10, 0, 20, 10), 0.0), ((3, 3, 3, 3), 0.0)],
)
def test_overlap_is_intersection_over_union(other: tuple[float, ...], expected: float) -> None:
    one = np.array([0.0, 0.0, 10.0, 10.0])
    assert overlap(one, np.array(other, float)) == pytest.approx(expected)
