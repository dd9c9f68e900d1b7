"""The locks hold what the constraints say, each package with a hash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("make", "image", "image-cuda")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(text: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {normal(name): version for name, version in found}


PINNED = versions((ROOT / "constraints.txt").read_text())


@pytest.mark.parametrize("name", [*NAMES, "tools"])
def test_every_package_of_a_lock_has_a_hash(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    packages = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(packages) > 20
    assert not [each for each in packages if "--hash=sha256:" not in each or "==" not in each]


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_has_the_versions_of_the_constraints(name: str) -> None:
    locked = versions((ROOT / "locks" / f"{name}.txt").read_text())
    assert {each: locked[each] for each in locked.keys() & PINNED.keys()} == {
        each: PINNED[each] for each in locked.keys() & PINNED.keys()
    }


def test_the_lock_of_make_has_all_of_them_and_what_builds_the_package() -> None:
    locked = versions((ROOT / "locks" / "make.txt").read_text())
    assert locked.keys() - PINNED.keys() == {"pip", "setuptools"}
    assert PINNED.keys() <= locked.keys()


def would_run(tree: Path, *options: str) -> str:
    """The commands that `make lint` would run in ``tree``."""
    command = ["make", "--dry-run", "lint", *options]
    return subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True).stdout


def test_an_environment_without_hashes_is_not_taken_for_one_of_the_lock(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "locks/make.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ready").touch()
    assert "environment.py" not in would_run(tmp_path)
    locked = would_run(tmp_path, "LOCKED=1")
    assert "rm -rf .venv\n" in locked
    assert ".ci/environment.py .venv locks/make.txt\n" in locked
    (tmp_path / ".venv/.ready-locked").touch()
    assert "environment.py" not in would_run(tmp_path, "LOCKED=1")
    newer = (tmp_path / ".venv/.ready-locked").stat().st_mtime + 1
    os.utime(tmp_path / "locks/make.txt", (newer, newer))
    assert "environment.py" in would_run(tmp_path, "LOCKED=1")


def test_an_image_has_no_tool_of_the_tests_and_only_the_one_for_cuda_its_libraries() -> None:
    image, cuda = (
        versions((ROOT / "locks" / f"{name}.txt").read_text()) for name in ("image", "image-cuda")
    )
    assert {"torch", "ray", "diffusers"} <= image.keys()
    assert not {"pytest", "mypy", "ruff", "openai"} & cuda.keys()
    more = cuda.keys() - image.keys()
    assert "triton" in more
    assert [each for each in more if each.startswith("nvidia-")]


@pytest.mark.parametrize("name", ["make", "image"])
def test_where_there_is_no_gpu_linux_gets_only_the_build_of_torch_for_cpus(name: str) -> None:
    """Pip would prefer PyPI's, which cannot be imported without CUDA's packages."""
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    found = re.findall(r"^torch==(\S+) ; sys_platform (\S+) 'linux'", text, re.MULTILINE)
    assert [(version.endswith("+cpu"), sign) for version, sign in found] == [
        (True, "=="),
        (False, "!="),
    ]
