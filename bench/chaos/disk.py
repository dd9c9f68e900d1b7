"""A small file system for the conversations of a graph, which can be filled."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SIZE = "8m"
BLOCK = 2**12


@dataclass(frozen=True)
class SmallDisk:
    """A folder with a file system of its own, or a folder like others where none can be mounted."""

    folder: Path
    is_small: bool

    def fill(self) -> None:
        """Leave no room. Raises ``RuntimeError`` for a folder like others."""
        if not self.is_small:
            raise RuntimeError("only root can mount a small file system to be filled")
        with contextlib.suppress(OSError), self._filling.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(BLOCK))

    def free(self) -> None:
        self._filling.unlink()

    @property
    def _filling(self) -> Path:
        return self.folder / "filling"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mount it at ``folder``, which is made, and unmount it."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    is_small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield SmallDisk(folder, is_small)
    finally:
        if is_small:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
