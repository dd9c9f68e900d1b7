"""Text classification across the seam, with labels of the model or of the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens

ScoreFunction: TypeAlias = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class ClassificationRequest:
    """``scores`` makes scores of the model's logits; ``None`` is what the model was trained for."""

    model: str
    texts: tuple[str, ...]
    truncate: bool = False
    scores: ScoreFunction | None = None


@dataclass(frozen=True, slots=True)
class LabelScore:
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ClassificationResult(CountsPromptTokens):
    """One entry a text, in order: its labels best first, or why it has none.

    ``tokens`` are those that were read, where the model counts any.
    """

    items: tuple[tuple[LabelScore, ...] | Problem, ...]
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ZeroShotRequest:
    """Texts to score against labels that no model was trained on.

    The scores of a text's labels sum to one, unless ``multi_label``: then each is independent.
    ``template`` makes a label a sentence by its ``{}``; ``None`` leaves it to the model's kind.
    Answered by :class:`ClassificationResult`.
    """

    model: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    multi_label: bool = False
    template: str | None = None
    truncate: bool = False
