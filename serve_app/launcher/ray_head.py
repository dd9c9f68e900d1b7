"""Starts the process that runs Ray's head (`ray_head_main`), and talks to it over its pipes."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from serve_app.launcher.processes import is_alive

CHECK_LIMIT_S = 60.0
RAY_LIMIT_S = 120.0
LOG = "head.log"
# Ray itself notices only after a minute that one of these has ended.
VITAL = ("gcs_server", "raylet")
LOG_LINES = 15


class StartError(Exception):
    """The graph did not come up; the message is for the user."""


class InvalidConfigError(Exception):
    """Serve's schema refuses the config; nothing was started."""


class RayHeadProcess:
    """The process that runs Ray's head. All that it starts inherits the run's environment."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._log = directory / LOG
        self._is_holding = False
        self._vital: dict[str, psutil.Process] = {}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serve_app.launcher.ray_head_main"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(environment),
                # The terminal sends Ctrl-C to the launcher only, which ends things in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self, request: dict[str, Any]) -> None:
        """Hand over the request; raises `InvalidConfigError` when Serve refuses its config."""
        self._write(json.dumps(request))
        if problem := self._answer(CHECK_LIMIT_S, "checking the config").get("problem"):
            raise InvalidConfigError(problem)

    def start(self) -> dict[str, Any]:
        """Start Ray, or join it; returns `dashboard`, as host:port."""
        self._write("go")
        answer = self._answer(RAY_LIMIT_S, "starting Ray")
        if problem := answer.get("problem"):
            raise StartError(f"{problem}\n{self._log_end()}".strip())
        self._is_holding = True
        self._vital = {
            child.name(): child
            for child in psutil.Process(self.pid).children()
            if child.name() in VITAL
        }
        return answer

    def require_alive(self) -> None:
        """Raise `StartError` once the process, or one that Ray needs, has ended."""
        if self._process.poll() is not None:
            raise StartError(f"the Ray head ended unexpectedly\n{self._log_end()}".strip())
        for name, process in self._vital.items():
            if not is_alive(process):
                raise StartError(f"Ray's {name} ended unexpectedly")

    def release(self) -> list[psutil.Process]:
        """Ask it to end Ray and itself; returns the process if it is worth waiting for."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            return []
        if not self._is_holding:
            return []  # it is busy with starting and would not notice
        try:
            return [psutil.Process(self.pid)] if self._process.poll() is None else []
        except psutil.NoSuchProcess:
            return []

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise StartError(f"the Ray head ended\n{self._log_end()}".strip()) from None

    def _answer(self, limit_s: float, step: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        pipe, collected = self._process.stdout.fileno(), b""
        limit = time.monotonic() + limit_s
        while not collected.endswith(b"\n"):
            readable, _, _ = select.select([pipe], [], [], max(0.0, limit - time.monotonic()))
            if not readable:
                raise StartError(f"{step} took longer than {limit_s:.0f} s")
            chunk = os.read(pipe, 65_536)
            if not chunk:
                raise StartError(f"{step} failed\n{self._log_end()}".strip())
            collected += chunk
        answer: dict[str, Any] = json.loads(collected)
        return answer

    def _log_end(self) -> str:
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_LINES:])
