"""What each way to decode can and cannot do, known without loading it."""

from __future__ import annotations

from typing import Literal, TypeAlias

Engine: TypeAlias = Literal["torch", "openvino"]
ToolCalls: TypeAlias = Literal["hermes"]
"""How a model writes calls of tools: which parser reads them."""

CONSTRAINED = frozenset({"response_format", "regex"})
"""Constrained decoding, to JSON and to an expression."""

UNSUPPORTED: dict[Engine, frozenset[str]] = {
    "torch": frozenset(),
    # OpenVINO GenAI 2026.4 has no bias on logits and reports the chosen token only; its frequency
    # and presence penalties move a logit towards zero, so they raise negative ones.
    "openvino": CONSTRAINED
    | {"logit_bias", "top_logprobs", "frequency_penalty", "presence_penalty"},
}
"""Request fields that an engine cannot honour: refused by name, with a model that can."""
