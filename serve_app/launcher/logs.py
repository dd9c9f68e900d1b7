"""Keeps the logs of the last starts: each start removes its run directory when it ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

DIRECTORY = "PRSM_SERVE_LOG_DIR"
RAY_LOGS = "r/session_*/logs"
KEPT_STARTS = 5
KEPT_BYTES = 4 * 1024 * 1024
"""Limit for one log file. Its end is kept, because it says why something failed."""
KEPT_BYTES_OF_A_START = 64 * 1024 * 1024
START = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
CUT = b"[the beginning was left out]\n"


def logs_directory(environment: Mapping[str, str]) -> Path:
    """The directory of kept logs: ``PRSM_SERVE_LOG_DIR``, else below the user's state directory."""
    if given := environment.get(DIRECTORY):
        return Path(given)
    return state_directory(environment) / "logs"


def state_directory(environment: Mapping[str, str]) -> Path:
    """The directory of what the starts of this user share."""
    state = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "prsm-serve"


def keep_logs(run_directory: Path, run_id: str, environment: Mapping[str, str]) -> Path | None:
    """Copy the logs of a run; returns the directory of the copies, or None without logs.

    The last ``KEPT_STARTS`` starts are kept, and of each file its end. Where the disk is full or
    the directory cannot be written, only the logs are lost.
    """
    directory = logs_directory(environment)
    target = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-{run_id}"
    left = KEPT_BYTES_OF_A_START
    _forget_old(directory)
    for source, name in _logs(run_directory):
        with contextlib.suppress(OSError):  # one that vanished or cannot be read is left out
            _make_private(directory, target / name.parent)
            left -= _copy_end(source, target / name, min(KEPT_BYTES, left))
        if left <= 0:
            break
    return target if target.is_dir() else None


def _logs(run_directory: Path) -> Iterator[tuple[Path, Path]]:
    """Every log and its name in the directory of copies; Serve's own come first."""
    for log in sorted(run_directory.glob("*.log")):
        yield log, Path(log.name)
    for ray in sorted(run_directory.glob(RAY_LOGS)):
        if ray.parent.is_symlink():  # session_latest is a link to one of the others
            continue
        found = [path for path in ray.rglob("*") if path.is_file() and not path.is_symlink()]
        for log in sorted(found, key=lambda path: (path.parent.name != "serve", path)):
            if log.stat().st_size:
                yield log, Path("ray") / log.relative_to(ray)


def _make_private(directory: Path, below: Path) -> None:
    """Make a directory below ``directory`` that only this user can read: logs show requests."""
    directory.mkdir(parents=True, exist_ok=True)
    for each in reversed([below, *below.parents]):
        if directory in each.parents:
            each.mkdir(mode=0o700, exist_ok=True)


def _copy_end(source: Path, target: Path, limit: int) -> int:
    """Copy the last ``limit`` bytes; returns how many."""
    with source.open("rb") as log, target.open("wb") as kept:
        size = os.fstat(log.fileno()).st_size
        if size > limit:
            log.seek(size - limit)
            kept.write(CUT)
        content = log.read(limit)
        kept.write(content)
    return len(content)


def _forget_old(directory: Path) -> None:
    """Make room for one more start. Directories with other names are not ours and stay."""
    with contextlib.suppress(OSError):
        names = (path for path in directory.iterdir() if START.fullmatch(path.name))
        starts = sorted(path for path in names if path.is_dir() and not path.is_symlink())
        for old in starts[: max(0, len(starts) - KEPT_STARTS + 1)]:
            shutil.rmtree(old, ignore_errors=True)
