"""Reports the progress of fetching and converting weights, and shows it on a console."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID


@dataclass(frozen=True)
class WeightsStep:
    """A source has reached a stage, or more bytes of its download.

    At the start of a stage ``done`` and ``total`` are ``None``; else they are bytes, and ``total``
    may be unknown.
    """

    name: str
    stage: Literal["waiting", "fetching", "converting", "ready"]
    done: int | None = None
    total: int | None = None


WeightsProgress = Callable[[WeightsStep], None]


class Console:
    """Shows progress on stderr: a line for each stage, and on a terminal a bar for a download."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._bar: RichBar | None = None
        self._task: TaskID | None = None

    def __call__(self, step: WeightsStep) -> None:
        if step.done is None:
            self._close()
            sys.stderr.write(f"weights: {step.stage} {step.name}\n")
            sys.stderr.flush()
        elif self._tty:
            self._advance(step)

    def _advance(self, step: WeightsStep) -> None:
        if self._bar is None or self._task is None:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(step.name)
        self._bar.update(self._task, completed=step.done, total=step.total)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None


def _bar() -> RichBar:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as RichBar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return RichBar(*columns, TransferSpeedColumn(), console=Terminal(stderr=True), transient=True)
