"""The cache of finished folders of weights, each of which is complete or does not exist.

A folder is made in ``partial/``, on the same file system as ``models/``, and published by a rename.
Each key has a lock, so that one process makes a folder while others wait for it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

RECORD_FILE = "prsm-weights.json"
"""A file in every finished folder: its source, its revision or hash, and its conversion."""

WeightsRecord = dict[str, Any]


def key_for(name: str, identity: WeightsRecord) -> str:
    """A readable folder name that is unique to ``identity``."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:80]
    return f"{readable}-{digest}"


def read_record(folder: Path) -> WeightsRecord | None:
    """The record of a finished folder; ``None`` for any other folder."""
    try:
        record: WeightsRecord = json.loads((folder / RECORD_FILE).read_text())
    except FileNotFoundError:
        return None
    return record


class WeightsCache:
    """The finished folders in one cache directory."""

    def __init__(self, cache_dir: Path) -> None:
        self.root = cache_dir.expanduser().resolve()
        self._models = self.root / "models"
        self._partial = self.root / "partial"
        self._locks = self.root / "locks"

    def find(self, key: str) -> Path | None:
        """The finished folder, or ``None``. Takes no lock: a folder that exists is complete."""
        folder = self._models / key
        return folder if (folder / RECORD_FILE).is_file() else None

    def make(
        self, key: str, fill: Callable[[Path], WeightsRecord], waiting: Callable[[], None]
    ) -> Path:
        """The finished folder for ``key``; ``fill`` makes it if it does not exist.

        ``fill`` gets an empty folder to write into and returns its record. If it raises, or the
        process dies, nothing is published. ``waiting`` is called once if another process is making
        the folder.
        """
        for folder in (self._models, self._partial, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        lock = self.lock(key)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
        try:
            return self.find(key) or self._fill(key, fill)
        finally:
            lock.release()

    def lock(self, key: str) -> FileLock:
        return FileLock(self._locks / f"{key}.lock")

    def _fill(self, key: str, fill: Callable[[Path], WeightsRecord]) -> Path:
        self._sweep(key)
        # A conversion whose parent was killed may still write, so a name is never used again.
        work = self._partial / f"{key}.{uuid.uuid4().hex[:8]}"
        work.mkdir()
        try:
            record = fill(work)
            (work / RECORD_FILE).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
            _share(work)
            work.replace(self._models / key)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return self._models / key

    def _sweep(self, held: str) -> None:
        """Remove unfinished folders of dead processes. The caller holds the lock of ``held``."""
        for leftover in self._partial.iterdir():
            key = leftover.name.rpartition(".")[0]
            if key == held:
                shutil.rmtree(leftover, ignore_errors=True)
                continue
            lock = self.lock(key)
            try:
                with lock.acquire(timeout=0):
                    shutil.rmtree(leftover, ignore_errors=True)
            except Timeout:
                continue


def _share(folder: Path) -> None:
    """Make files as readable as the folder; safetensors are written for their owner only."""
    readable = folder.stat().st_mode & 0o444
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(file.stat().st_mode | readable)
