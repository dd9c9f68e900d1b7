"""A PostgreSQL server of its own for a graph, on loopback, which can be killed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench.chaos.processes import Part, of_part
from bench.peers.running import ServerFailed, free_port

INSTALLED = "*/bin/initdb"
DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps the programs of each version here, and off the path."""
OWNER = "postgres"
"""The server refuses to run as root; the package brings this user for it."""
USER = "bench"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
POLL_S = 0.1


def programs() -> Path | None:
    """The folder of the newest PostgreSQL that is installed; ``None`` without any."""
    found = [*DEBIAN.glob(INSTALLED)]
    if found:
        return max(found, key=lambda each: float(each.parts[-3])).parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a new database; its server has ended when the block is left.

    Raises :class:`~bench.peers.running.ServerFailed`.
    """
    folder_of_programs = programs()
    if folder_of_programs is None:
        raise ServerFailed("PostgreSQL is needed: apt-get install postgresql")
    with TemporaryDirectory(prefix="bench-postgresql-", ignore_cleanup_errors=True) as name:
        cluster = Cluster(folder_of_programs, Path(name), free_port())
        try:
            yield cluster.start()
        finally:
            cluster.end()


class Cluster:
    """The files and processes of one server."""

    def __init__(self, folder_of_programs: Path, folder: Path, port: int) -> None:
        self._programs = folder_of_programs
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = OWNER if os.geteuid() == 0 else None

    def start(self) -> str:
        """Make the files, start the server, and wait until it answers; returns the URL."""
        password = secrets.token_hex(16)
        kept = self._folder / "password"
        kept.touch(mode=0o600)
        kept.write_text(password, encoding="utf-8")
        if self._owner:
            for path in (self._folder, kept):
                shutil.chown(path, self._owner, self._owner)
        self._begin(
            *("initdb", "-D", self._data, "-U", USER, "-A", "scram-sha-256", "--pwfile", kept),
            *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        ).wait(START_LIMIT_S)
        self._process = process = self._begin(
            *("postgres", "-D", self._data, "-p", str(self._port), "-c", "fsync=off"),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        )
        limit = time.monotonic() + START_LIMIT_S
        while not self.answers():
            if process.poll() is not None or time.monotonic() > limit:
                raise ServerFailed(f"PostgreSQL did not start:\n{self._log.read_text()}")
            time.sleep(POLL_S)
        return f"postgresql://{USER}:{password}@127.0.0.1:{self._port}/postgres"

    def answers(self) -> bool:
        """Whether it takes connections."""
        asked = ("-q", "-h", "127.0.0.1", "-p", str(self._port))
        return subprocess.run([self._programs / "pg_isready", *asked], check=False).returncode == 0

    def end(self) -> None:
        """End the server, whoever started it last."""
        left = [each for each in of_part(Part.POSTGRESQL) if str(self._data) in each.cmdline()]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)  # at once, without a checkpoint
        for process in psutil.wait_procs(left, STOP_LIMIT_S)[1]:
            process.kill()
        if self._process is not None:
            self._process.wait(STOP_LIMIT_S)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _begin(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [self._programs / program, *arguments],
                cwd=self._folder,
                user=self._owner,
                group=self._owner,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
