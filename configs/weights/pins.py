"""Revisions that were resolved at a first fetch, so that a later fetch gets the same weights."""

from __future__ import annotations

import uuid
from pathlib import Path


class Pins:
    """One small file a repository below ``folder``, holding the commit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, hub: str) -> str | None:
        try:
            return self._file(hub).read_text().strip()
        except FileNotFoundError:
            return None

    def keep(self, hub: str, revision: str) -> None:
        """Record ``revision`` unless one is recorded already: the first one stays."""
        if self.find(hub) is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{uuid.uuid4().hex}"
        draft.write_text(f"{revision}\n")
        draft.replace(self._file(hub))

    def _file(self, hub: str) -> Path:
        return self._folder / f"{hub.replace('/', '--')}.txt"
