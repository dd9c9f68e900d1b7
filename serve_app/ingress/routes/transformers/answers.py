"""The answer to a typed question, from the probabilities of its options.

As transformers' ``Question.answer`` (its ``decision/template_utils.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.seam.decisions import DecisionQuestion


def decision_answer(
    question: DecisionQuestion, probabilities: Mapping[str, float]
) -> dict[str, Any]:
    """The answer in System One's format.

    A ``confidence`` is 0 where all options are equally likely and 1 where one is certain.
    """
    if question.kind == "noul":
        return {"type": "noul", "noul": probabilities["true"]}
    best = max(probabilities, key=lambda option: probabilities[option])
    if question.kind == "choice":
        return {
            "type": "choice",
            "choice": best,
            "confidence": _certainty(probabilities[best], len(probabilities)),
            "probabilities": dict(probabilities),
        }
    levels = list(probabilities.values())
    return {
        "type": "score",
        "score": sum(level * each for level, each in enumerate(levels)),
        "legend": dict(question.options),
        "confidence": _closeness(levels, int(best)),
        "probabilities": dict(probabilities),
    }


def _certainty(best: float, options: int) -> float:
    return 1.0 if options == 1 else max(0.0, (best - 1 / options) / (1 - 1 / options))


def _closeness(levels: list[float], best: int) -> float:
    """How near the best level the others' probability is, compared with equally likely levels."""
    count = len(levels)
    if count == 1:
        return 1.0
    distance = sum(each * abs(level - best) for level, each in enumerate(levels))
    uniform = sum(abs(level - (count - 1) / 2) for level in range(count)) / count
    return max(0.0, 1 - distance / uniform)
