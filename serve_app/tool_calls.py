"""Calls of tools, as models write them into their text."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic_core import from_json

from configs.engines import ToolCalls
from deployments.seam import ToolCall


@dataclass(frozen=True, slots=True)
class CallFormat:
    """One JSON object between two marks: the name of the function and its arguments."""

    opening: str
    closing: str
    name: str = "name"
    arguments: str = "arguments"


FORMATS: dict[ToolCalls, CallFormat] = {
    # Nous Research's, which Qwen2.5, SmolLM2 (from 360M) and many others were trained on.
    "hermes": CallFormat("<tool_call>\n", "\n</tool_call>"),
}


class CallScanner:
    """Tells calls from text in what a model writes, piece by piece.

    Text passes as it comes, less the white space around calls; what may begin a call is held back.
    What looks like a call but is none is text: no JSON, or a function not among ``functions``.
    """

    def __init__(self, written: CallFormat, functions: Iterable[str]) -> None:
        self._format = written
        self._opening, self._closing = written.opening.strip(), written.closing.strip()
        self._functions = frozenset(functions)
        self._held = ""
        self._inside = False
        self._behind_call = False

    def push(self, text: str) -> list[str | ToolCall]:
        """The text that is certain to be text, and the calls that are complete, in order."""
        self._held += text
        found: list[str | ToolCall] = []
        while True:
            mark = self._closing if self._inside else self._opening
            before, met, behind = self._held.partition(mark)
            if not met:
                break
            self._held = behind
            found += self._call(before) if self._inside else self._text(before.rstrip())
            self._inside = not self._inside
        if not self._inside:
            certain = len(self._held) - self._beginning()
            found += self._text(self._held[:certain])
            self._held = self._held[certain:]
        return found

    def flush(self) -> list[str | ToolCall]:
        """What was held back, once nothing follows: a call may lack its closing mark."""
        held, self._held = self._held, ""
        if self._inside:
            self._inside = False
            call = self._parsed(held)
            return [call] if call else self._text(self._opening + held)
        return self._text(held)

    def _call(self, body: str) -> Iterator[str | ToolCall]:
        call = self._parsed(body)
        if call is None:
            yield from self._text(self._opening + body + self._closing)
            return
        self._behind_call = True
        yield call

    def _text(self, text: str) -> list[str | ToolCall]:
        if self._behind_call:
            text = text.lstrip()
        if not text:
            return []
        self._behind_call = False
        return [text]

    def _parsed(self, body: str) -> ToolCall | None:
        try:
            value = from_json(body, allow_inf_nan=False)
        except ValueError:
            return None
        if not isinstance(value, dict):
            return None
        name, arguments = value.get(self._format.name), value.get(self._format.arguments, {})
        if name not in self._functions or not isinstance(arguments, dict):
            return None
        text = json.dumps(arguments, ensure_ascii=False)
        return ToolCall(f"call_{secrets.token_hex(12)}", name, text)

    def _beginning(self) -> int:
        """How much of the end of what is held may begin a call: white space, part of a mark."""
        held, mark = self._held, self._opening
        longest = min(len(held), len(mark) - 1)
        part = next((n for n in range(longest, 0, -1) if mark.startswith(held[-n:])), 0)
        rest = held[: len(held) - part]
        return part + len(rest) - len(rest.rstrip())
