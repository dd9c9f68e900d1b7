"""Image classification, questions about images, and detection across the seam."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.classification import ScoreFunction


@dataclass(frozen=True, slots=True)
class ImageClassificationRequest:
    """One image to name. ``image`` is an encoded file (JPEG, PNG, ...) whose header was checked.

    With ``labels`` the model scores those (zero-shot), each made a sentence by ``template``'s
    ``{}``; without them the ones it was trained on, and ``scores`` makes scores of its logits,
    ``None`` as it was trained. Answered by :class:`Classified`, one item.
    """

    model: str
    image: bytes
    top_k: int = 5
    labels: tuple[str, ...] = ()
    template: str | None = None
    scores: ScoreFunction | None = None


@dataclass(frozen=True, slots=True)
class VisualQuestionRequest:
    model: str
    image: bytes
    question: str
    top_k: int = 1


@dataclass(frozen=True, slots=True)
class VisualAnswer:
    """``score`` is from 0 to 1; ``None`` from models that write their answer."""

    answer: str
    score: float | None


@dataclass(frozen=True, slots=True)
class VisualQuestionResult:
    """The answers to one question, best first."""

    items: tuple[VisualAnswer, ...]


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """One image to search for objects; those with a score below ``threshold`` are left out."""

    model: str
    image: bytes
    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Detection:
    """One object; the box is in pixels of the image as a viewer shows it, inside its bounds."""

    label: str
    score: float
    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """The objects of one image, best first, those that overlap a better one left out."""

    items: tuple[Detection, ...]
