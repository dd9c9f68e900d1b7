"""What each way to run a model can and cannot do, known without loading it."""

from __future__ import annotations

from typing import Literal, TypeAlias

EngineName: TypeAlias = Literal["torch", "openvino"]
EngineChoice: TypeAlias = Literal["auto", "torch", "openvino"]
"""``auto`` is the faster of those that can run the model, measured once on each processor."""

ModelHead: TypeAlias = Literal["embedding", "sequence", "token"]
"""What an encoder gives: a vector a text, labels a text, or labels a token."""

HEADS: dict[str, ModelHead] = {
    "embed": "embedding",
    "sentiment": "sequence",
    "topic": "sequence",
    "zero_shot": "sequence",
    "rerank": "sequence",
    "entities": "token",
}
"""The tasks of encoders, and the heads that do them: these models OpenVINO can run as well."""

WRITING = frozenset({"generate", "chat"})
"""The tasks whose requests may ask for what not every engine can do."""

ToolCalls: TypeAlias = Literal["hermes"]
"""How a model writes calls of tools: which parser reads them."""

CONSTRAINED = frozenset({"response_format", "regex"})
"""Constrained decoding, to JSON and to an expression."""

UNSUPPORTED: dict[EngineName, frozenset[str]] = {
    "torch": frozenset(),
    # OpenVINO GenAI 2026.4 has no bias on logits and reports the chosen token only; its frequency
    # and presence penalties move a logit towards zero, so they raise negative ones.
    "openvino": CONSTRAINED
    | {"logit_bias", "top_logprobs", "frequency_penalty", "presence_penalty"},
}
"""Request fields that an engine cannot honour: refused by name, with a model that can."""
