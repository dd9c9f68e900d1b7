"""Zero-shot classification: pairs of texts and labels, and probabilities from their scores.

A model for natural language inference (NLI) scores how far a text entails "This example is sport."
(Yin et al., arXiv:1909.00161). A reranker scores how relevant a text is to the query "sport". Both
give a score for each pair, from which the probabilities of labels are computed alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deployments.encoders.text_encoders import TextEncoder
from deployments.encoders.tokenization import Pairs
from deployments.seam.classification import (
    ClassificationResult,
    LabelScore,
    ScoreFunction,
    ZeroShotRequest,
)
from deployments.seam.problems import Problem

NLI_TEMPLATE = "This example is {}."
QUERY_TEMPLATE = "{}"
"""The bare label, since rerankers are trained on short queries: it labelled 10 of 10 texts rightly,
a sentence around it 9 of 10 and with half the margin."""

SUBJECT = "the text and its label"
Scores = npt.NDArray[np.float64]

R = TypeVar("R")


async def score_labels(
    encoder: TextEncoder[R],
    pairs: Pairs,
    request: ZeroShotRequest,
    probabilities: Callable[[Sequence[R]], Scores],
) -> ClassificationResult:
    """Every label of every text, best first.

    ``pairs`` has each text with each label, text by text. ``probabilities`` makes those of the
    labels from the answers to the pairs of one text.
    """
    answers, tokens = await encoder.answer_pairs(pairs, truncate=request.truncate)
    items: list[tuple[LabelScore, ...] | Problem] = []
    for start in range(0, len(answers), len(request.labels)):
        of_text = answers[start : start + len(request.labels)]
        good = [answer for answer in of_text if not isinstance(answer, Problem)]
        items.append(problem_of(of_text) or ranked(request.labels, probabilities(good)))
    return ClassificationResult(tuple(items), tokens)


def nli_pairs(request: ZeroShotRequest) -> Pairs:
    """Every text with every hypothesis, in the order of the texts. The text is the premise."""
    hypotheses = _phrased(request, NLI_TEMPLATE)
    texts, phrases = _crossed(request.texts, hypotheses)
    return Pairs(texts, phrases, "first", SUBJECT)


def query_pairs(request: ZeroShotRequest) -> Pairs:
    """Every text with every label, in the order of the texts. The label is the query."""
    texts, queries = _crossed(request.texts, _phrased(request, QUERY_TEMPLATE))
    return Pairs(queries, texts, "second", SUBJECT)


def entailment_columns(labels: Sequence[str]) -> tuple[int, int] | None:
    """The columns of entailment and contradiction in the logits of an NLI model.

    If there are only two classes, the one that is not entailment counts as contradiction. ``None``
    for a model that is not for NLI.
    """
    by_name = {name.lower(): index for index, name in enumerate(labels)}
    entailed = next((i for name, i in by_name.items() if name.startswith("entail")), None)
    if entailed is None or len(by_name) < 2:
        return None
    contradicted = next((i for name, i in by_name.items() if name.startswith("contra")), None)
    if contradicted is None and len(by_name) == 2:
        contradicted = 1 - entailed
    return None if contradicted is None else (entailed, contradicted)


def probabilities_of_nli(entailed: Scores, contradicted: Scores, *, multi_label: bool) -> Scores:
    """Softmax of entailment over the labels; with ``multi_label`` each label's probability of
    entailment against contradiction."""
    if multi_label:
        return sigmoid(entailed - contradicted)
    return softmax(entailed)


def probabilities_of_relevance(scores: Scores, *, multi_label: bool) -> Scores:
    """Softmax over the labels; with ``multi_label`` a sigmoid of each."""
    return sigmoid(scores) if multi_label else softmax(scores)


def ranked(labels: Sequence[str], probabilities: Scores) -> tuple[LabelScore, ...]:
    """Labels with their probabilities, best first; equal ones stay in the request's order."""
    scored = [LabelScore(name, float(p)) for name, p in zip(labels, probabilities, strict=True)]
    return tuple(sorted(scored, key=lambda label: label.score, reverse=True))


def softmax(scores: Scores) -> Scores:
    exponents = np.exp(scores - scores.max())
    probabilities: Scores = exponents / exponents.sum()
    return probabilities


def sigmoid(scores: Scores) -> Scores:
    """Computed so that numbers far below zero do not overflow."""
    probabilities: Scores = np.exp(-np.logaddexp(0.0, -scores))
    return probabilities


SCORE_FUNCTIONS: dict[ScoreFunction, Callable[[Scores], Scores]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda logits: logits,
}
"""The functions from logits to scores that a request may choose."""


def problem_of(row: Sequence[object]) -> Problem | None:
    """The first problem among the results of a text's pairs, if there is one."""
    return next((answer for answer in row if isinstance(answer, Problem)), None)


def _phrased(request: ZeroShotRequest, template: str) -> list[str]:
    # Not str.format, which would run format expressions of a client's template.
    return [(request.template or template).replace("{}", label) for label in request.labels]


def _crossed(
    texts: Sequence[str], phrases: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    crossed = [(text, phrase) for text in texts for phrase in phrases]
    return tuple(text for text, _ in crossed), tuple(phrase for _, phrase in crossed)
