"""`.ci/environment.py` with a stand-in for pip: one line a step, and the log's end on failure."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "environment.py"
GOOD = """\
Obtaining file:///somewhere
Collecting torch==2.13.0 (from -c constraints.txt (line 1))
  Downloading torch-2.13.0-cp311-none-any.whl.metadata (3 kB)
  Downloading torch-2.13.0-cp311-none-any.whl (190.0 MB)
Collecting ray[serve]==2.60.0
Using cached ray-2.60.0-cp311-none-any.whl (70.0 MB)
Installing collected packages: ray, torch
Successfully installed ray-2.60.0 torch-2.13.0
"""
STEPS = ["downloading packages", "installing 2 packages"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An environment whose Python prints ``pip.txt`` and ends with the code in ``code``."""
    binaries = tmp_path / "venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "pip").touch()
    stand_in = binaries / "python"
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" >>"{tmp_path}/asked"\n'
        f'cat "{tmp_path}/pip.txt"\nexit $(cat "{tmp_path}/code")\n'
    )
    stand_in.chmod(0o755)
    (tmp_path / "pip.txt").write_text(GOOD)
    (tmp_path / "code").write_text("0")
    return tmp_path / "venv"


def run(directory: Path, *lock: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(directory), *lock]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_each_step_is_one_line_and_pip_prints_into_the_log(directory: Path) -> None:
    done = run(directory)
    *steps, last = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert steps == [f"environment: {step}" for step in STEPS]
    assert last.startswith("environment: ready after")
    assert (directory / "install.log").read_text() == GOOD


def test_with_a_lock_nothing_is_installed_without_a_hash(directory: Path) -> None:
    assert run(directory, "locks/make.txt").returncode == 0
    packages, ours = (directory.parent / "asked").read_text().splitlines()
    assert packages.endswith("--require-hashes --no-deps --requirement locks/make.txt")
    assert ours.endswith("--no-deps --no-build-isolation --editable .")


def test_a_wrong_hash_ends_it(directory: Path) -> None:
    (directory.parent / "code").write_text("1")
    assert run(directory, "locks/make.txt").returncode == 1
    assert len((directory.parent / "asked").read_text().splitlines()) == 1


def test_a_failure_shows_the_end_of_the_log_and_names_it(directory: Path) -> None:
    lines = [f"Collecting package{number}" for number in range(99)]
    (directory.parent / "pip.txt").write_text("\n".join([*lines, "ERROR: no such version\n"]))
    (directory.parent / "code").write_text("1")
    done = run(directory)
    assert done.returncode == 1
    *shown, error, where = done.stdout.splitlines()
    assert error == "ERROR: no such version"
    assert where == f"environment: failed; the whole output is in {directory / 'install.log'}"
    assert len(shown) < 25


def test_a_terminal_counts_packages_in_the_line_of_the_step(directory: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, str(SCRIPT), str(directory)], stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "downloading packages: 1 torch (190.0 MB)" in text
    assert "downloading packages: 2 ray" in text
    finished = [line.rpartition("\x1b[K")[2].strip() for line in text.split("\n")]
    assert finished[:2] == [f"environment: {step}" for step in STEPS]
