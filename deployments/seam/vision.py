"""Requests and results about images: classification, questions, detection, segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from deployments.seam.classification import ScoreFunction

Subtask: TypeAlias = Literal["panoptic", "instance", "semantic"]


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request about one ``image``: an encoded file (JPEG, PNG, ...) whose header was checked."""

    model: str
    image: bytes


@dataclass(frozen=True, slots=True)
class ImageClassificationRequest(ImageRequest):
    """One image to label.

    With ``labels`` the model scores those (zero-shot), each in the place of ``{}`` in ``template``.
    Without them it scores its own labels, and ``scores`` is the function that turns logits into
    scores; ``None`` takes the one that the model was trained with. The result is a
    :class:`~deployments.seam.classification.ClassificationResult` of one item.
    """

    top_k: int = 5
    labels: tuple[str, ...] = ()
    template: str | None = None
    scores: ScoreFunction | None = None


@dataclass(frozen=True, slots=True)
class VisualQuestionRequest(ImageRequest):
    """A question about one image, which gets up to ``top_k`` answers."""

    question: str
    top_k: int = 1


@dataclass(frozen=True, slots=True)
class VisualAnswer:
    """``score`` is from 0 to 1, and ``None`` from models that generate the answer as text."""

    answer: str
    score: float | None


@dataclass(frozen=True, slots=True)
class VisualQuestionResult:
    """The answers to one question, best first."""

    items: tuple[VisualAnswer, ...]


@dataclass(frozen=True, slots=True)
class DetectionRequest(ImageRequest):
    """One image to search for objects that score at least ``threshold``."""

    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Detection:
    """One object. Its box is in pixels of the upright image, and inside of it."""

    label: str
    score: float
    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """The objects of one image, best first, after non-maximum suppression."""

    items: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class SegmentationRequest(ImageRequest):
    """One image to cut into segments.

    ``None`` is the first ``subtask`` that the model can, and the usual threshold: 0.9 for the score
    of a segment, 0.5 for a pixel's probability of being in its mask, and 0.5 for the part of a mask
    that has to be left where other masks cover it.
    """

    subtask: Subtask | None = None
    threshold: float | None = None
    mask_threshold: float | None = None
    overlap_mask_area_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class ImageSegment:
    """The pixels of one thing, or of all things of one label.

    ``mask`` is a PNG file in base64: in greys of 8 bits, of the size of the upright image, 255 in
    the segment and 0 elsewhere. ``score`` is from 0 to 1, and ``None`` of a semantic segmentation.
    """

    label: str
    score: float | None
    mask: str


@dataclass(frozen=True, slots=True)
class SegmentationResult:
    """The segments of one image, which do not overlap, in the order of the model's output."""

    items: tuple[ImageSegment, ...]
