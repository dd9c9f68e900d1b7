"""Starts a server for a comparison, and ends it with all processes that it started."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

from bench.pairs import tell

START_LIMIT_S = 300.0
STOP_LIMIT_S = 120.0
LOG_TAIL = 2000
FREE_PORTS = range(10_000, 20_000)  # below the launcher's blocks and Linux's ephemeral range
PORT_TRIES = 100


class ServerFailed(RuntimeError):
    """A server did not come up; the message has the end of its log."""


@dataclass(frozen=True)
class Server:
    """How to start a server, and the arithmetic that it computes in.

    ``ready`` is a path that answers 200 once the server is ready. ``model`` is the model's name in
    requests. A server that does not keep connections gets a new one for each request.
    ``environment`` is added to ours; ``None`` removes a variable.
    """

    name: str
    arithmetic: str
    command: Sequence[str | Path]
    port: int
    ready: str
    model: str | None = None
    streams: bool = True
    keeps_connections: bool = True
    environment: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL of its root."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """Start it, wait until it is ready, and end it. Raises ``ServerFailed``."""
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            log = Path(place) / "log"
            with log.open("wb") as output:
                began = time.monotonic()
                process = subprocess.Popen(
                    list(map(str, self.command)),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    env=self._environment(),
                )
                try:
                    self._wait(process, log)
                    tell(f"{self.name} is up after {time.monotonic() - began:.0f} s")
                    yield self
                finally:
                    end(process)

    def _environment(self) -> dict[str, str]:
        merged = {**os.environ, **self.environment}
        return {name: value for name, value in merged.items() if value is not None}

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit:
            if process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.3)
        said = log.read_text(errors="replace")[-LOG_TAIL:]
        raise ServerFailed(f"{self.name} did not become ready:\n{said}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self.ready, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def end_on_sigterm() -> None:
    """Handle SIGTERM like Ctrl-C, so that servers are ended.

    Signals that come after it are ignored, or they would interrupt that: `timeout` sends it twice.
    ``ray.init`` takes the signal for itself, so call this again behind it.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and kill those of its descendants that are left after that."""
    with contextlib.suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
        process.kill()
        for each in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(descendants, timeout=5)
    process.wait(STOP_LIMIT_S)


def free_port() -> int:
    """A port of the loopback interface on which nothing listens.

    It is outside the range that the system hands out, from which a connection could take the port
    before the server listens.
    """
    for port in random.sample(FREE_PORTS, PORT_TRIES):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise ServerFailed("no port is free")
