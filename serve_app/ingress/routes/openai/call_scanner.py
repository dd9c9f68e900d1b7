"""Finds the tool calls that a model writes into its text."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from configs.engines import ToolCalls
from deployments.seam.generation import ToolCall
from deployments.seam.tool_call_text import ToolCallText


@dataclass(frozen=True, slots=True)
class ToolCallFormat:
    """One JSON object between two marks: the name of the function and its arguments."""

    opening: str
    closing: str
    name: str = "name"
    arguments: str = "arguments"


FORMATS: dict[ToolCalls, ToolCallFormat] = {
    # Nous Research's, which Qwen2.5, SmolLM2 (from 360M) and many others were trained on.
    "hermes": ToolCallFormat("<tool_call>\n", "\n</tool_call>"),
}


class ToolCallScanner(ToolCallText[ToolCall]):
    """Separates tool calls from text while a model writes them.

    What looks like a call but is none is text: no JSON, or a function not among ``functions``.
    """

    def __init__(self, written: ToolCallFormat, functions: Iterable[str]) -> None:
        super().__init__(written.opening, written.closing, self._call)
        self._format = written
        self._functions = frozenset(functions)

    def _call(self, body: str) -> ToolCall | None:
        try:
            from_json(body, allow_inf_nan=False)  # stricter than what follows, and bounds nesting
            members = _members(body)
        except (ValueError, RecursionError):
            return None
        name, _ = members.get(self._format.name, (None, ""))
        arguments, text = members.get(self._format.arguments, ({}, "{}"))
        if not isinstance(arguments, dict) or not isinstance(name, str):
            return None
        if name not in self._functions:
            return None
        return ToolCall(f"call_{secrets.token_hex(12)}", name, text)


_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def _members(body: str) -> dict[str, tuple[Any, str]]:
    """The members of a valid JSON object: the value of each, and its text.

    Arguments are handed on as they are written, for a double does not hold every number.
    """
    found: dict[str, tuple[Any, str]] = {}
    at = _behind_space(body, body.index("{") + 1)
    while body[at] != "}":
        name, at = _DECODER.raw_decode(body, at)
        at = _behind_space(body, _behind_space(body, at) + 1)
        value, end = _DECODER.raw_decode(body, at)
        found[name] = (value, body[at:end])
        at = _behind_space(body, end)
        if body[at] == ",":
            at = _behind_space(body, at + 1)
    return found


def _behind_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
