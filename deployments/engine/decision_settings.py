"""A model's settings for typed decisions: transformers' ``DecisionConfig``, without torch."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.seam.decisions import QuestionKind

LETTERS = tuple(string.ascii_uppercase)
YES_NO = ("Yes", "No")


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """``labels`` stand for the options of a question in the prompt, each one token.

    Log-probabilities are divided by the ``temperature`` of a kind of question. ``control_tokens``
    are text where a client writes them, beside special tokens; ``None`` where the model does not
    name them. ``unsupported`` says why the model cannot answer: it was trained with a prompt or an
    adapter of its own, or with control tokens in what clients write.
    """

    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    temperature: Mapping[str, float] = field(default_factory=dict)
    noul_options: tuple[str, ...] = ("true", "false")
    control_tokens: frozenset[str] | None = None
    unsupported: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any], control_tokens: Any = None) -> DecisionSettings:
        """The settings in a ``decision.json``, with the tokenizer's ``chat_control_tokens``; what
        cannot be read makes them unsupported."""
        own = [name for name in ("chat_template", "adapter") if config.get(name)]
        if own:
            return cls(unsupported=f"it has a {own[0]} of its own for decisions")
        if config.get("sanitize_control_tokens", True) is not True:
            return cls(unsupported="its decision.json turns off sanitize_control_tokens")
        try:
            made = cls(
                {kind: tuple(map(str, each)) for kind, each in config.get("labels", {}).items()},
                {kind: float(each) for kind, each in config.get("temperature", {}).items()},
                tuple(map(str, config.get("noul_options", ("true", "false")))),
                _texts(control_tokens),
            )
        except (AttributeError, TypeError, ValueError):
            return cls(unsupported="its decision.json or its chat_control_tokens cannot be read")
        options = sorted(made.noul_options) == ["false", "true"]
        finite = all(0 < each < math.inf for each in made.temperature.values())
        if not options or not finite:
            return cls(unsupported="its decision.json has values that mean nothing")
        return made

    def labels_of(self, kind: QuestionKind) -> tuple[str, ...]:
        return self.labels.get(kind) or (YES_NO if kind == "noul" else LETTERS)

    def temperature_of(self, kind: QuestionKind) -> float:
        return self.temperature.get(kind, 1.0)


def _texts(given: Any) -> frozenset[str] | None:
    """Raises ``TypeError`` for anything but a list of texts."""
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise TypeError
    return frozenset(given)
