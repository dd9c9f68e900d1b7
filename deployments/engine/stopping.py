"""Stop strings: finds where a streamed text ends, and holds back what may become a stop string."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import from_json

from deployments.seam.generation import ToolCallMarkers
from deployments.seam.tool_call_text import ToolCallText


class StopScanner:
    """Passes text on until a stop string is complete, and holds back what may become one.

    The stop string that is complete first ends the text; of several that end at the same character
    it is the longest. So the result does not depend on how the text was cut into pieces. ``found``
    is that stop string, from then on.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(sorted({stop for stop in stops if stop}, key=len, reverse=True))
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> tuple[str, bool]:
        """Take a piece; the text that may be shown, and whether a stop string was found."""
        if not self._stops:
            return text, False
        known = len(self._held)
        buffer = self._held + text
        for end in range(known + 1, len(buffer) + 1):
            for stop in self._stops:
                if buffer.endswith(stop, 0, end):
                    self._held, self.found = "", stop
                    return buffer[: end - len(stop)], True
        keep = self._possible_stop(buffer)
        self._held = buffer[len(buffer) - keep :]
        return buffer[: len(buffer) - keep], False

    def flush(self) -> str:
        """The text that is held back, when nothing follows."""
        held, self._held = self._held, ""
        return held

    def _possible_stop(self, buffer: str) -> int:
        """Length of the longest end of ``buffer`` that is the beginning of a stop string."""
        longest = min(len(buffer), len(self._stops[0]) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(buffer[-length:]) for stop in self._stops if length < len(stop)):
                return length
        return 0


class ToolCallStopScanner(StopScanner):
    """Ends the text at a stop string, or behind the first tool call.

    The rest of the piece in which the tool call ends is passed on.
    """

    def __init__(self, stops: Iterable[str], markers: ToolCallMarkers) -> None:
        super().__init__(stops)
        self._tool_calls = ToolCallText(markers.opening, markers.closing, _any_tool_call)

    def push(self, text: str) -> tuple[str, bool]:
        shown, stopped = super().push(text)
        found = self._tool_calls.push(shown)
        return shown, stopped or any(isinstance(each, _AnyToolCall) for each in found)


class _AnyToolCall:
    """A tool call, of any function."""


def _any_tool_call(body: str) -> _AnyToolCall | None:
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError:
        return None
    return _AnyToolCall()
