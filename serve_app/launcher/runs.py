"""Run directories: each start has one, with its record, locked while its launcher lives."""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from serve_app.launcher.logs import keep_logs, state_directory

PREFIX = "prsm-"
NAME = re.compile(rf"{PREFIX}[0-9a-f]{{6}}")
RECORD = "run.json"
LOCK = "lock"
REGISTRY_LOCK = "starts.lock"
# A unix socket's path holds 107 bytes. The longest ones below a run directory are HAProxy's
# (a node id of 56 characters and a temporary suffix) and Ray's (its session's name).
LONGEST_BASE = 24


@dataclass(frozen=True)
class RunRecord:
    """A start, as other launchers and `status` need to know it."""

    id: str
    directory: str
    launcher_pid: int
    started_at: float
    first_port: int = 0
    dashboard_port: int = 0
    dashboard_url: str = ""
    token_path: str = ""
    url: str = ""
    stage: str = ""

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.directory)

    @property
    def port(self) -> int | None:
        """The port of the HTTP front, known before it listens; None where it is not known."""
        return urlsplit(self.url).port


@dataclass
class LockedRun:
    """This process's run. The lock is held until `remove`, or until the process ends."""

    run: RunRecord
    _lock: IO[str] = field(repr=False)

    def update(self, **changes: str | int) -> RunRecord:
        """Change the record, on disk as well."""
        self.run = replace(self.run, **changes)  # type: ignore[arg-type]
        _write(self.run)
        return self.run

    def remove(self) -> Path | None:
        """Remove the directory and release the lock; returns where its logs are kept."""
        kept = remove(self.run)
        self._lock.close()
        return kept


def base_directory() -> Path:
    """The directory of run directories: the temporary one if its path is short enough."""
    base = Path(tempfile.gettempdir())
    # Names in it are random, and made for this user only.
    return base if len(str(base)) <= LONGEST_BASE else Path("/tmp")  # noqa: S108


@contextlib.contextmanager
def registry_lock() -> Iterator[None]:
    """Let one launcher of this user at a time end leftovers and choose ports.

    The file is the user's own: in a shared directory anyone could make a link of that name. A user
    who has no directory to write to, as in some containers, has no lock.
    """
    path = state_directory(os.environ) / REGISTRY_LOCK
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context(path.open("a", encoding="utf-8")), fcntl.LOCK_EX)
        yield


def create(base: Path) -> LockedRun:
    """Make this process's run directory, readable by this user only, and lock it."""
    run_id = secrets.token_hex(3)
    directory = base / f"{PREFIX}{run_id}"
    directory.mkdir(mode=0o700)
    lock = (directory / LOCK).open("w", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    run = RunRecord(run_id, str(directory), os.getpid(), time.time())
    _write(run)
    return LockedRun(run, lock)


def live(base: Path) -> list[RunRecord]:
    """Runs of this user whose launcher lives, newest first."""
    found = [run for directory in _directories(base) if (run := _read(directory))]
    alive = [run for run in found if is_live(run)]
    return sorted(alive, key=lambda run: run.started_at, reverse=True)


def is_live(run: RunRecord) -> bool:
    """Whether the launcher of `run` lives."""
    return _is_locked(run.path)


def dead(base: Path) -> list[RunRecord]:
    """Runs of this user whose launcher is gone. Call it under the registry lock."""
    abandoned = [path for path in _directories(base) if not _is_locked(path)]
    # A launcher that died before its record was written had started nothing yet.
    return [
        _read(path) or RunRecord(path.name.removeprefix(PREFIX), str(path), 0, 0)
        for path in abandoned
    ]


def remove(run: RunRecord) -> Path | None:
    """Remove a run's directory; returns where its logs are kept, None without logs."""
    kept = keep_logs(run.path, run.id, os.environ)
    shutil.rmtree(run.path, ignore_errors=True)
    return kept


def _directories(base: Path) -> list[Path]:
    found = []
    for path in sorted(base.glob(f"{PREFIX}*")):
        # Anyone may create files in a shared temporary directory: only this user's count. That of a
        # node (`prsm-serve node`) is called alike, and its own process removes it.
        with contextlib.suppress(FileNotFoundError):
            is_own = path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid()
            if is_own and NAME.fullmatch(path.name):
                found.append(path)
    return found


def _is_locked(directory: Path) -> bool:
    try:
        with (directory / LOCK).open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _read(directory: Path) -> RunRecord | None:
    try:
        return RunRecord(**json.loads((directory / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(run: RunRecord) -> None:
    draft = run.path / f"{RECORD}.new"
    draft.write_text(json.dumps(asdict(run), indent=1), encoding="utf-8")
    draft.replace(run.path / RECORD)
