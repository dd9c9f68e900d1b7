"""The timeline of one request: its calls and their stages, as a ``Server-Timing`` header."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deployments.seam.timings import CallTiming

MAX_BYTES = 4096
"""Of the header. HAProxy has 16 KiB for all of an answer's."""


@dataclass(frozen=True, slots=True)
class TimedPart:
    """A part of the request. ``began`` is in seconds from the request's beginning."""

    name: str
    began: float
    seconds: float
    model: str = ""
    call: int = 0
    items: int = 0
    requests: int = 0

    def __str__(self) -> str:
        numbers = {"call": self.call, "items": self.items, "requests": self.requests}
        shown = "".join(f";{name}={value}" for name, value in numbers.items() if value)
        about = f';desc="{_quoted(self.model)}"' if self.model else ""
        times = f"dur={self.seconds * 1000:.2f};start={self.began * 1000:.2f}"
        return f"{self.name};{times}{shown}{about}"


class Timeline:
    """What a request waited for. Times are of ``clock``; the request began at ``began``.

    A replica's clock is not this process's: a call's stages are placed in the middle of the time
    that the call took here, since the way there and the way back are taken to be equally long.
    """

    def __init__(self, began: float, clock: Callable[[], float]) -> None:
        self._began = began
        self._clock = clock
        self._calls: list[TimedPart] = []
        self._stages: list[TimedPart] = []
        self._left_out = 0

    def call_ended(self, model: str, began: float, timing: CallTiming) -> None:
        """The answer of a call has come, or all of its stream."""
        took = self._clock() - began
        number, start = len(self._calls) + 1, began - self._began
        self._calls.append(TimedPart("call", start, took, model, number))
        start += max(0.0, took - timing.seconds) / 2
        self._left_out += timing.left_out
        self._stages += [
            TimedPart(each.name, start + each.began, each.seconds, model, number, *each[3:])
            for each in timing.stages
        ]

    def server_timing(self) -> bytes:
        """The header's value (W3C Server Timing), in milliseconds.

        Beside ``dur`` and ``desc``, which is the model, each part has ``start``; a stage also has
        the ``call`` that it belongs to, and how many ``items`` of how many ``requests`` shared it.
        """
        size, shown = 0, []
        left_out = self._left_out
        for part in self._parts():
            text = str(part)
            size += len(text) + 2
            if size > MAX_BYTES:
                left_out += 1
            else:
                shown.append(text)
        if left_out:
            shown.append(f'more;desc="{left_out} further parts"')
        return ", ".join(shown).encode("ascii")

    def _parts(self) -> Iterator[TimedPart]:
        yield TimedPart("total", 0.0, self._clock() - self._began)
        yield from self._calls
        yield from self._stages


def _quoted(name: str) -> str:
    """The inside of a quoted string (RFC 9110, 5.6.4), of printable ASCII."""
    printable = "".join(each if " " <= each <= "~" else "?" for each in name)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
