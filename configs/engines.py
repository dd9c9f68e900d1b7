"""What each way to decode can and cannot do, known without loading it."""

from __future__ import annotations

from typing import Literal, TypeAlias

Engine: TypeAlias = Literal["torch", "openvino"]

NOT_YET = frozenset({"response_format", "regex", "tools"})
"""What no engine here can do: constrained decoding (to JSON, to an expression), calls of tools."""

UNSUPPORTED: dict[Engine, frozenset[str]] = {
    "torch": frozenset({"tools"}),
    # OpenVINO GenAI 2026.4 has no bias on logits and reports the chosen token only; its frequency
    # and presence penalties move a logit towards zero, so they raise negative ones.
    "openvino": NOT_YET | {"logit_bias", "top_logprobs", "frequency_penalty", "presence_penalty"},
}
"""Request fields that an engine cannot honour: refused by name, with a model that can."""
