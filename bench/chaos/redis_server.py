"""A Redis server of its own for the tables of Ray's GCS, on loopback."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from bench.peers.running import ServerFailed, free_port

PROGRAM = "redis-server"
CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
appendonly yes
dir {folder}
"""
"""It writes to its disk what Ray's tables hold, as the Redis of ``deploy/kubernetes`` does."""
START_LIMIT_S = 30.0
STOP_LIMIT_S = 10.0
POLL_S = 0.1


@dataclass(frozen=True)
class RedisServer:
    """The port of a server, and its password."""

    port: int
    password: str


def is_installed() -> bool:
    """Whether there is a Redis server on the path."""
    return shutil.which(PROGRAM) is not None


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A server without data, which has ended when the block is left. Raises ``ServerFailed``."""
    server = RedisServer(free_port(), secrets.token_hex(16))
    with TemporaryDirectory(prefix="bench-redis-") as folder:
        process = subprocess.Popen(
            [PROGRAM, "-"],  # reads its configuration from there
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            assert process.stdin is not None
            with process.stdin as config:
                config.write(CONFIG.format(folder=folder, **vars(server)).encode())
            _wait(process, server.port)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < limit:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(POLL_S)
    raise ServerFailed("Redis did not start")
