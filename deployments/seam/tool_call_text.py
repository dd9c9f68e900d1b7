"""Finds tool calls in streamed text: an opening marker, one JSON object, a closing marker.

Hermes-style models write ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``. The engine
uses this to end a text behind its first tool call, the ingress to separate tool calls from text. A
tool call ends where its JSON object ends, because strings in it may contain either marker.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_IN_STRING = re.compile(r'["\\\x00-\x1f]')
_OUTSIDE = re.compile(r'["{}\[\]]|[^ \t\r\n:,0-9+\-.Eaeflnrstu]')
_CLOSERS = {"{": "}", "[": "]"}


class ObjectEnd:
    """Finds the end of one JSON object in a text that arrives in pieces.

    ``broken`` is set at the first character that cannot stand there in any JSON object. Brackets
    and strings are checked; literals, numbers and separators may be out of place.
    """

    def __init__(self) -> None:
        self.broken = False
        self._open: list[str] = []
        self._quoted = False
        self._escaped = False

    def push(self, text: str) -> int | None:
        """The index in ``text`` behind the object; ``None`` while it is incomplete, or broken."""
        at = 0
        while not self.broken and at < len(text):
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = (_IN_STRING if self._quoted else _OUTSIDE).search(text, at)
            if found is None:
                return None
            at = found.end()
            if self._quoted:
                self._in_string(found[0])
            elif self._outside(found[0]):
                return at
        return None

    def _in_string(self, character: str) -> None:
        self._quoted = character != '"'
        self._escaped = character == "\\"
        self.broken = character < " "

    def _outside(self, character: str) -> bool:
        if character == '"':
            self._quoted = True
        elif character in _CLOSERS:
            self._open.append(_CLOSERS[character])
        elif self._open and character == self._open[-1]:
            self._open.pop()
            return not self._open
        else:
            self.broken = True
        return False


class ToolCallText(Generic[T]):
    """Separates tool calls from text in what a model writes, piece by piece.

    ``read`` makes a tool call of a JSON object, or returns ``None`` if it is none; then it is text,
    as is a marker without an object. Text is passed on at once, without the white space around tool
    calls; what may begin a tool call is held back.
    """

    def __init__(self, opening: str, closing: str, read: Callable[[str], T | None]) -> None:
        self._opening, self._closing = opening.strip(), closing.strip()
        self._read = read
        self._held = ""
        self._gap = ""
        self._scanned = 0
        self._object: ObjectEnd | None = None
        self._inside = False
        self._behind_object = False
        self._behind_call = False

    def push(self, text: str) -> list[str | T]:
        """Take a piece; the text and the complete tool calls so far, in order."""
        self._held += text
        found: list[str | T] = []
        while self._step(found):
            pass
        return found

    def flush(self) -> list[str | T]:
        """The text that is held back, when nothing follows."""
        held, self._held = self._held, ""
        if self._inside:
            self._inside = False
            return [*self._text(self._gap + self._opening + held)]
        if self._behind_object and self._closing.startswith(held.strip()):
            return []  # the beginning of a closing marker
        return [*self._text(held)]

    def _step(self, found: list[str | T]) -> bool:
        """Consume one marker, object or text of ``_held``; false when it needs more text."""
        if self._behind_object:
            return self._past_closing()
        if self._inside:
            return self._past_object(found)
        before, marker, behind = self._held.partition(self._opening)
        if marker:
            text = before.rstrip()
            found += self._text(text)
            self._gap = before[len(text) :]
            self._inside, self._object = True, None
            self._held, self._scanned = behind, 0
            return True
        certain = len(self._held) - self._possible_opening()
        found += self._text(self._held[:certain])
        self._held = self._held[certain:]
        return False

    def _past_closing(self) -> bool:
        rest = self._held.lstrip()
        if not rest or (len(rest) < len(self._closing) and self._closing.startswith(rest)):
            return False
        self._behind_object = False
        self._held = rest.removeprefix(self._closing)
        return True

    def _past_object(self, found: list[str | T]) -> bool:
        if self._object is None:
            body = self._held.lstrip()
            if not body:
                return False
            if body[0] != "{":
                return self._not_a_call(found, "")
            self._object, self._scanned = ObjectEnd(), len(self._held) - len(body)
        end = self._object.push(self._held[self._scanned :])
        if self._object.broken:
            return self._not_a_call(found, "")
        if end is None:
            self._scanned = len(self._held)
            return False
        end += self._scanned
        call = self._read(self._held[:end])
        if call is None:
            return self._not_a_call(found, self._held[:end])
        found.append(call)
        self._held = self._held[end:]
        self._inside, self._behind_object, self._behind_call = False, True, True
        return True

    def _not_a_call(self, found: list[str | T], body: str) -> bool:
        """The marker and ``body`` were text; a tool call may still follow."""
        found += self._text(self._gap + self._opening + body)
        self._held = self._held[len(body) :]
        self._inside = False
        return True

    def _text(self, text: str) -> list[str]:
        if self._behind_call:
            text = text.lstrip()
        if not text:
            return []
        self._behind_call = False
        return [text]

    def _possible_opening(self) -> int:
        """Length of the end of ``_held`` that may begin a call: white space, part of a marker."""
        held, marker = self._held, self._opening
        longest = min(len(held), len(marker) - 1)
        part = next((n for n in range(longest, 0, -1) if marker.startswith(held[-n:])), 0)
        rest = held[: len(held) - part]
        return part + len(rest) - len(rest.rstrip())
