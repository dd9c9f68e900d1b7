#!/usr/bin/env python3
"""Makes the virtual environment of `make`: one line a step, and pip's own output in a log file.

Usage: environment.py DIRECTORY [LOCK]. With LOCK, a file of locks/, nothing is installed but what
is in there, and only if its hash is right. It runs before anything is installed, so it imports
nothing but the standard library. On a terminal the line of the running step counts packages as pip
gets to them. When pip fails, the end of its output is shown together with the log's path.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PREFIX = "environment: "
LOG_LINES = 20
OPTIONS = ["--disable-pip-version-check", "--progress-bar", "off"]
WHAT = ["--constraint", "constraints.txt", "--editable", ".[dev]"]
HASHED = ["--require-hashes", "--no-deps", "--requirement"]
OURS = ["--no-deps", "--no-build-isolation", "--editable", "."]
"""This package has no hash, and its build takes nothing from outside: the lock has setuptools."""
COLLECTED = re.compile(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)")
DOWNLOADED = re.compile(r"\s*Downloading ([\w.]+)-\S+(?<!\.metadata) \((.+)\)")
INSTALLING = "Installing collected packages:"


class Steps:
    """Prints a line for each step; on a terminal a counter moves behind the last line."""

    def __init__(self) -> None:
        self._counts = sys.stdout.isatty()
        self._step = ""

    def begin(self, step: str) -> None:
        """Begin a step, once however often it is called."""
        if step != self._step:
            self._end_line()
            self._step = step
            sys.stdout.write(PREFIX + step + ("" if self._counts else "\n"))
            sys.stdout.flush()

    def count(self, done: int, name: str) -> None:
        """Show how far the step is."""
        if self._counts:
            text = f"{PREFIX}{self._step}: {done} {name}"
            sys.stdout.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """Print a line that is no step."""
        self._end_line()
        self._step = ""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _end_line(self) -> None:
        if self._counts and self._step:
            sys.stdout.write(f"\r\x1b[K{PREFIX}{self._step}\n")


class PipOutput:
    """Turns what pip prints into steps. pip downloads while it still resolves: that is one step."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._collected: set[str] = set()
        steps.begin("downloading packages")

    def read(self, line: str) -> None:
        """Take one line of pip's output."""
        if found := COLLECTED.match(line):
            self._collected.add(found[1])
            self._steps.count(len(self._collected), found[1])
        elif found := DOWNLOADED.match(line):
            self._steps.count(len(self._collected), f"{found[1]} ({found[2]})")
        elif line.startswith(INSTALLING):
            names = line.removeprefix(INSTALLING).split(",")
            self._steps.begin(f"installing {len(names)} packages")


def run(command: list[str], log: Path, output: PipOutput | None = None) -> int:
    """Run a command with its output in ``log``; returns its exit code."""
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                if output is not None:
                    output.read(line)
        except KeyboardInterrupt:
            process.terminate()
            raise
        finally:
            code = process.wait()
    return code


def make(directory: Path, steps: Steps, lock: str | None = None) -> int:
    """Make or renew the environment in ``directory``; returns the exit code."""
    began = time.monotonic()
    directory.mkdir(exist_ok=True)
    log = directory / "install.log"
    log.unlink(missing_ok=True)
    python = directory / "bin" / "python"
    code = 0
    if not (directory / "bin" / "pip").exists():
        steps.begin(f"creating {directory.name} with Python {sys.version.split()[0]}")
        code = run([sys.executable, "-m", "venv", str(directory)], log)
    for what in [WHAT] if lock is None else [[*HASHED, lock], OURS]:
        if code == 0:
            command = [str(python), "-m", "pip", "install", *OPTIONS, *what]
            code = run(command, log, PipOutput(steps))
    if code:
        last = log.read_text(encoding="utf-8").splitlines()[-LOG_LINES:]
        steps.say("\n".join([*last, f"{PREFIX}failed; the whole output is in {log}"]))
    else:
        steps.say(f"{PREFIX}ready after {time.monotonic() - began:.0f} s (log: {log})")
    return code


def main() -> int:
    """Returns the exit code: pip's, or 130 after Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    steps = Steps()
    try:
        return make(Path(sys.argv[1]).resolve(), steps, *sys.argv[2:3])
    except KeyboardInterrupt:
        steps.say(f"{PREFIX}interrupted; the next `make` goes on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
