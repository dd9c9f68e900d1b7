"""Requests and results of text classification, by the labels of the model or of the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens

ScoreFunction: TypeAlias = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class ClassificationRequest:
    """Texts to label. ``scores`` is the function that turns the model's logits into scores.

    ``None`` takes the function that the model was trained with.
    """

    model: str
    texts: tuple[str, ...]
    truncate: bool = False
    scores: ScoreFunction | None = None


class LabelScore(NamedTuple):
    """A label and its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ClassificationResult(CountsPromptTokens):
    """For each text, in order, its labels, best first, or a problem.

    ``tokens`` has the tokens read for each text; it is empty for images. ``labels`` are a text
    classifier's own, in the order of its outputs.
    """

    items: tuple[tuple[LabelScore, ...] | Problem, ...]
    tokens: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ZeroShotRequest:
    """Texts to score against labels that no model was trained on.

    The scores of a text's labels sum to one; with ``multi_label`` each is independent. A label
    takes the place of ``{}`` in ``template``; ``None`` is the usual template for the kind of model.
    The result is a :class:`ClassificationResult`.
    """

    model: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    multi_label: bool = False
    template: str | None = None
    truncate: bool = False
