"""Pins of revisions: a later fetch of a repository gets the commit that the first fetch got."""

from __future__ import annotations

import uuid
from pathlib import Path


class Pins:
    """Pinned commits, in a file for each repository in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, hub: str) -> str | None:
        try:
            return self._file(hub).read_text().strip()
        except FileNotFoundError:
            return None

    def keep(self, hub: str, revision: str) -> None:
        """Pin ``revision``, unless the repository has a pin already."""
        if self.find(hub) is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{uuid.uuid4().hex}"
        draft.write_text(f"{revision}\n")
        draft.replace(self._file(hub))

    def _file(self, hub: str) -> Path:
        return self._folder / f"{hub.replace('/', '--')}.txt"
