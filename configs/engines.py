"""What each way to decode can and cannot do, known without loading it."""

from __future__ import annotations

from typing import Literal, TypeAlias

Engine: TypeAlias = Literal["torch", "openvino"]

NOT_YET = frozenset({"response_format", "tools"})
"""What no engine here can do: constrained decoding, and parsing calls of tools."""

UNSUPPORTED: dict[Engine, frozenset[str]] = {
    "torch": NOT_YET,
    "openvino": NOT_YET | {"logit_bias", "logprobs", "top_logprobs"},
}
"""Request fields that an engine cannot honour: refused by name, with a model that can."""
