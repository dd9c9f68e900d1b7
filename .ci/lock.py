#!/usr/bin/env python3
"""Writes the locks: every package of an installation, with the hashes of its files.

Usage: lock.py UV PIP. UV resolves each set of extras within the versions of constraints.txt, and
knows the hashes of all files of a version, for every platform. PyPI's torch for Linux needs CUDA's
packages; the locks for CPUs leave out what constraints.txt does not name, and on Linux they have
the build for CPUs, from wherever PIP finds it. That build's version is written out: pip prefers
files whose hash an index tells, and would take PyPI's.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = {"make": "dev", "image": "embedded", "image-cuda": "embedded"}
"""The extra that each lock installs."""
HEAD = "# Made by `make lock`. Install with pip's --require-hashes and --no-deps.\n"
BUILD = ("pip", "setuptools")
"""They build and install this package; `pip freeze` leaves them out."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def normal(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(text: str) -> dict[str, str]:
    """The requirement of each package, with its lines of hashes."""
    found = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return {normal(NAME.match(each)[0]): each for each in found if NAME.match(each)}


def installed(pip: list[str]) -> list[str]:
    """The versions of what builds the package."""
    listed = subprocess.run(
        [*pip, "freeze", "--all"], check=True, capture_output=True, text=True
    ).stdout
    return [line for line in listed.splitlines() if line.partition("==")[0] in BUILD]


def compiled(uv: str, what: list[str]) -> str:
    """What is installed for ``what`` on any platform, with hashes."""
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--system-certs", *what]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def cpu_torch(pip: list[str], version: str) -> str:
    """The build for CPUs as an entry of a lock, empty if pip finds another build."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*pip, "download", "--quiet", "--no-deps", "--dest", folder, version]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).iterdir()
        if "+cpu" not in wheel.name:
            return ""
        told = subprocess.run(
            [*pip, "hash", str(wheel)], check=True, capture_output=True, text=True
        )
        return f"{version}+cpu ; sys_platform == 'linux' \\\n    {told.stdout.split()[-1]}\n"


def main() -> int:
    """Write all locks; returns the exit code."""
    uv, pip = sys.argv[1], [sys.argv[2], "-m", "pip"]
    tools = compiled(uv, [".ci/tools.in"])
    (ROOT / "locks" / "tools.txt").write_text(HEAD + tools)
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    named = {normal(line.partition("==")[0]) for line in pinned} | set(BUILD)
    torch = next(line for line in pinned if line.startswith("torch=="))
    more = cpu_torch(pip, torch)
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder, "build.in")
        build.write_text("\n".join(installed(pip)))
        for lock, extra in LOCKS.items():
            what = ["pyproject.toml", str(build), "--extra", extra]
            found = entries(compiled(uv, [*what, "--constraints", "constraints.txt"]))
            if not lock.endswith("-cuda"):
                found = {name: entry for name, entry in found.items() if name in named}
                if more:
                    elsewhere = f"{torch} ; sys_platform != 'linux'"
                    found["torch"] = more + found["torch"].replace(torch, elsewhere, 1)
            (ROOT / "locks" / f"{lock}.txt").write_text(HEAD + "".join(found.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
