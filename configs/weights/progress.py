"""Reports the progress of fetching and converting weights, and shows it on a console."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID

LINE_EVERY_S = 10.0
"""How often progress is written where stderr is no terminal, as in a log."""

POLL_S = 1.0
"""How often the size of a folder that is being written is read."""


@dataclass(frozen=True)
class WeightsStep:
    """A source has reached a stage, or more bytes of its download or conversion.

    At the start of a stage ``done`` and ``total`` are ``None``; else they are bytes, and ``total``
    may be unknown.
    """

    name: str
    stage: Literal["waiting", "fetching", "converting", "ready"]
    done: int | None = None
    total: int | None = None


WeightsProgress = Callable[[WeightsStep], None]

ByteProgress = Callable[[int, int | None], None]
"""Called with the bytes downloaded or written, and the total if it is known. Any thread may."""


@contextmanager
def growth_of(folder: Path, report: ByteProgress, total: int | None = None) -> Iterator[None]:
    """Report the bytes in ``folder``, which is empty first, while the block runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            report(_bytes_in(folder), total)

    thread = threading.Thread(target=watch, name="folder growth", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _bytes_in(folder: Path) -> int:
    found = 0
    for file in folder.rglob("*"):
        try:
            found += file.stat().st_size if file.is_file() else 0
        except OSError:  # it has been renamed or removed meanwhile
            continue
    return found


class Console:
    """Shows progress on ``stream``, by default stderr: a line for each stage, and the bytes with
    rate and time left, on a terminal as a bar, else as a line now and then."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._lock = threading.Lock()
        self._bar: RichBar | None = None
        self._task: TaskID | None = None
        self._began: tuple[float, int] | None = None
        self._said_at = 0.0

    def __call__(self, step: WeightsStep) -> None:
        with self._lock:
            if step.done is None:
                self._close()
                self._say(f"{step.stage} {step.name}")
            elif self._stream.isatty():
                self._advance(step)
            else:
                self._log(step, step.done)

    def _log(self, step: WeightsStep, done: int) -> None:
        """A line about the bytes, unless the last one was written a moment ago."""
        now = self._clock()
        if self._began is None or done < self._began[1]:  # another download counts from 0 again
            self._began, self._said_at = (now, done), now
        if now - self._said_at < LINE_EVERY_S:
            return
        self._said_at = now
        since, first = self._began
        if step.stage == "converting" and not step.total:  # most of it is computing
            shown = f"{now - since:.0f} s, {amount(done)} written"
        else:
            shown = amount(done, step.total, (done - first) / (now - since))
        self._say(f"{step.stage} {step.name}: {shown}")

    def _advance(self, step: WeightsStep) -> None:
        if self._bar is None or self._task is None:
            self._bar = _bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task(step.name)
        self._bar.update(self._task, completed=step.done, total=step.total)

    def _say(self, text: str) -> None:
        self._stream.write(f"weights: {text}\n")
        self._stream.flush()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = self._began = None


def amount(done: int, total: int | None = None, rate: float | None = None) -> str:
    """Bytes so far, of how many, bytes a second and the time left, as far as that is known."""
    from rich.filesize import decimal

    parts = [f"{decimal(done)} of {decimal(total)}" if total else decimal(done)]
    if rate is not None:
        parts.append(f"{decimal(int(rate))}/s")
    if total and rate:
        minutes, seconds = divmod(int(max(0, total - done) / rate), 60)
        parts.append(f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left")
    return ", ".join(parts)


def _bar(stream: TextIO) -> RichBar:
    from rich.console import Console as Terminal
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as RichBar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    speed = (TransferSpeedColumn(), TimeRemainingColumn())
    return RichBar(*columns, *speed, console=Terminal(file=stream), transient=True)
