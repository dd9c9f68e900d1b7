"""Runs a sweep for the terminal: a progress bar, then the table, the plot and the JSON file."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from serve_app.load.load import MAX_REQUESTS, Load
from serve_app.load.report import figures_table, notes, plot, report_json
from serve_app.load.sweep import BenchError, ProgressCallback, SweepResult, sweep
from serve_app.load.texts import BadTextsError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
PIPE_WIDTH = 240


def bench(
    url: str,
    loads: Sequence[Load],
    *,
    warm_up: int,
    api_key: str | None,
    json_file: Path | None,
) -> int:
    """Measure, show, and return the exit code: 0 only when every request was answered."""
    # A file or a pipe has no width; lines there are long, so that grep finds whole messages.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    with _progress(loads, console) as report:
        try:
            measuring = sweep(url, loads, warm_up=warm_up, api_key=api_key, report=report)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                outcome = runner.run(measuring)
        except (BenchError, BadTextsError) as error:
            console.print(f"error: {error}", markup=False, highlight=False)
            return EXIT_FAILED
    _show(outcome, console)
    if json_file is not None:
        figures = report_json(url, loads, outcome.figures) | {"model": outcome.model}
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if outcome.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(row.failed for row in outcome.figures) else 0


def _show(outcome: SweepResult, console: Console) -> None:
    if not any(outcome.samples):
        console.print("nothing was measured")
        return
    console.print(figures_table(outcome.figures))
    for note in notes(outcome.figures):
        console.print(note, markup=False, highlight=False)
    if chart := plot(outcome.figures, outcome.samples):
        console.print(chart, markup=False, highlight=False)


@contextmanager
def _progress(loads: Sequence[Load], console: Console) -> Iterator[ProgressCallback]:
    """One bar for each load: of requests where their number is set, otherwise of seconds."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"))
    bars: dict[Load, TaskID] = {}
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:

        def report(load: Load, answered: int, failed: int, seconds: float) -> None:
            counted = load.requests < MAX_REQUESTS
            if load not in bars:
                total = load.requests if counted else load.seconds
                bars[load] = progress.add_task(f"{load.clients} clients", total=total, counts="")
            counts = f"{answered} answered" + (f", {failed} failed" if failed else "")
            done = answered + failed if counted else min(seconds, load.seconds)
            progress.update(bars[load], completed=done, counts=counts)

        yield report
