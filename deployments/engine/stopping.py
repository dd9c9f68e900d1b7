"""Stop strings in a text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import from_json

from deployments.seam.generation import ToolCallMarkers
from deployments.seam.tool_call_text import ToolCallText


class StopScanner:
    """Lets text pass until a stop string is complete, and holds back what may become one.

    The result does not depend on how the text was cut into pieces: the stop string that is
    complete first ends the text, of several complete at the same character the longest. It is
    ``found`` from then on.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(sorted({stop for stop in stops if stop}, key=len, reverse=True))
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> tuple[str, bool]:
        """Take a piece; return the text that is safe to show and whether a stop was found."""
        if not self._stops:
            return text, False
        known = len(self._held)
        buffer = self._held + text
        for end in range(known + 1, len(buffer) + 1):
            for stop in self._stops:
                if buffer.endswith(stop, 0, end):
                    self._held, self.found = "", stop
                    return buffer[: end - len(stop)], True
        keep = self._beginning(buffer)
        self._held = buffer[len(buffer) - keep :]
        return buffer[: len(buffer) - keep], False

    def flush(self) -> str:
        """The text held back, once it is certain that nothing follows."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, buffer: str) -> int:
        """Length of the longest end of ``buffer`` that begins a stop string."""
        longest = min(len(buffer), len(self._stops[0]) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(buffer[-length:]) for stop in self._stops if length < len(stop)):
                return length
        return 0


class ToolCallStopScanner(StopScanner):
    """Stop strings, and the end of the first call of a tool.

    What is behind the call in the same piece stays: whoever reads calls leaves their marks out.
    """

    def __init__(self, stops: Iterable[str], marks: ToolCallMarkers) -> None:
        super().__init__(stops)
        self._calls = ToolCallText(marks.opening, marks.closing, _object)

    def push(self, text: str) -> tuple[str, bool]:
        shown, stopped = super().push(text)
        return shown, stopped or _called(self._calls.push(shown))


def _object(body: str) -> _Call | None:
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError:
        return None
    return _Call()


class _Call:
    """One of any function."""


def _called(found: list[str | _Call]) -> bool:
    return any(isinstance(each, _Call) for each in found)
