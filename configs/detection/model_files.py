"""Reads the small files of a model's folder within bounds, whatever is in them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from configs.detection.errors import ModelNotThereError, ModelRefusedError
from configs.weights import WeightFormat, weight_bytes

MAX_FILES = 2000
MAX_JSON_BYTES = 1024 * 1024
MAX_README_BYTES = 64 * 1024
MAX_SAFETENSORS_HEADER = 100_000_000
"""Bytes of the header of a safetensors file; the library refuses longer ones."""

FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)
FIELD = re.compile(r"^(pipeline_tag|library_name):[ \t]*[\"']?([\w.-]{1,64})[\"']?[ \t]*$", re.M)


class ModelFiles:
    """The files of one model: ``sizes`` has their bytes by name. Those that are read are in
    ``folder``; of a repository of the hub only those."""

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        self._folder = folder
        self._sizes = dict(sizes)
        self.names = frozenset(sizes)

    @classmethod
    def of_folder(cls, folder: Path, root: Path) -> ModelFiles:
        """All files of a folder and below it, which must be inside ``root``.

        Raises :class:`ModelNotThereError` if there is no such folder below ``root``, and
        :class:`ModelRefusedError` if a link in it leads out of it, or it has too many files.
        """
        top, home = root.resolve(), folder.resolve()
        if home == top or not home.is_relative_to(top) or not home.is_dir():
            raise ModelNotThereError(folder.name)
        found = dict(islice(_files(home), MAX_FILES + 1))
        if len(found) > MAX_FILES:
            raise ModelRefusedError(f"it has more than {MAX_FILES} files and folders")
        return cls(home, {name: size for name, size in found.items() if not name.endswith("/")})

    def has(self, *names: str) -> bool:
        """Whether one of these files is there."""
        return not self.names.isdisjoint(names)

    def with_suffix(self, suffix: str) -> list[str]:
        """The files of the folder itself, without those in folders of it."""
        return sorted(name for name in self.names if name.endswith(suffix) and "/" not in name)

    def path(self, name: str) -> Path:
        return self._folder / name

    def json(self, name: str) -> dict[str, Any]:
        """The object in a JSON file; empty if there is no such file."""
        value = self.json_value(name)
        if value is not None and not isinstance(value, dict):
            raise ModelRefusedError(f"its {name} is not an object")
        return value or {}

    def json_value(self, name: str) -> Any:
        """The value in a JSON file; ``None`` if there is no such file."""
        if name not in self.names:
            return None
        content = self._head(name, MAX_JSON_BYTES + 1)
        if len(content) > MAX_JSON_BYTES:
            raise ModelRefusedError(f"its {name} has more than {MAX_JSON_BYTES} bytes")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ModelRefusedError(f"its {name} is not JSON") from None

    def readme_fields(self) -> dict[str, str]:
        """``pipeline_tag`` and ``library_name`` of the README's front matter."""
        if "README.md" not in self.names:
            return {}
        text = self._head("README.md", MAX_README_BYTES).decode(errors="replace")
        front = FRONT_MATTER.match(text)
        return dict(FIELD.findall(front.group(1))) if front else {}

    def weight_bytes(self, read: WeightFormat) -> int:
        """Bytes of the weights in the format that is read."""
        return weight_bytes(self._sizes, read)

    def check_safetensors(self) -> None:
        """Raises :class:`ModelRefusedError` for a file whose header cannot be right."""
        for name, size in self._sizes.items():
            if not name.endswith(".safetensors") or not self.path(name).exists():
                continue  # a file of the hub is checked when it is loaded
            head = self._head(name, 9)
            length = int.from_bytes(head[:8], "little")
            if len(head) < 9 or not 2 <= length <= min(size - 8, MAX_SAFETENSORS_HEADER):
                raise ModelRefusedError(f"{name} is not safetensors, or damaged")
            if head[8:] != b"{":
                raise ModelRefusedError(f"{name} is not safetensors, or damaged")

    def _head(self, name: str, size: int) -> bytes:
        try:
            with self.path(name).open("rb") as file:
                return file.read(size)
        except OSError:
            raise ModelRefusedError(f"its {name} cannot be read") from None


def _files(home: Path) -> Iterator[tuple[str, int]]:
    """The names and sizes of regular files. Folders have the size 0 and names that end in /.

    Raises :class:`ModelRefusedError` for a link that leads out of ``home``. Links are not followed.
    """
    waiting = [home]
    while waiting:
        for path in waiting.pop().iterdir():
            name = path.relative_to(home).as_posix()
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                raise ModelRefusedError(f"its {name} is a link that leads out of the folder")
            if path.is_file():
                yield name, path.stat().st_size
            elif path.is_dir() and not path.is_symlink():
                waiting.append(path)
                yield f"{name}/", 0
