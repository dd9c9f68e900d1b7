"""The processor's name and abilities, as read from ``/proc/cpuinfo``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from configs.processor import native_bfloat16, processor_name, usable_cores

MILAN = """processor\t: 0
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
flags\t\t: fpu avx avx2
"""


@pytest.mark.parametrize(
    ("flags", "native"),
    [("avx avx2", False), ("avx512f avx512_bf16", True), ("amx_tile amx_bf16", True)],
)
def test_bfloat16_is_native_where_the_processor_multiplies_it(
    tmp_path: Path, flags: str, native: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(MILAN.replace("avx avx2", flags))
    assert native_bfloat16(file) is native
    file.write_text(f"processor : 0\nFeatures : {flags.replace('avx512_bf16', 'bf16')}\n")
    assert native_bfloat16(file) is native


def test_a_processor_has_a_name_with_family_and_model_numbers(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(MILAN * 2)
    assert processor_name(file) == "AMD EPYC (25/1)"


def test_without_linux_there_is_a_name_and_nothing_is_assumed(tmp_path: Path) -> None:
    assert processor_name(tmp_path / "none")
    assert native_bfloat16(tmp_path / "none") is False


def test_cores_are_counted_where_the_system_does_not_say_which_may_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on macOS."""
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    assert usable_cores(tmp_path, tmp_path / "none") == 5
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usable_cores(tmp_path, tmp_path / "none") == 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="of Linux")
def test_only_the_cores_that_may_be_used_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 3, 4})
    assert usable_cores(tmp_path, tmp_path / "none") == 3


@pytest.mark.parametrize(
    ("pod", "container", "cores"),
    [
        ("max 100000", "250000 100000", 3),
        ("max 100000", "200000 100000", 2),
        ("100000 100000", "max 100000", 1),
        ("max 100000", "5000 100000", 1),
        ("max 100000", "max 100000", 8),
        ("1600000 100000", "max 100000", 8),
    ],
)
def test_the_cpu_limit_of_a_container_or_of_its_pod_bounds_the_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pod: str, container: str, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    membership, group = tmp_path / "membership", tmp_path / "groups" / "pod" / "container"
    group.mkdir(parents=True)
    membership.write_text("0::/pod/container\n")
    for folder, limit in ((group.parent, pod), (group, container)):
        (folder / "cpu.max").write_text(f"{limit}\n")
        (folder / "cpu.stat").write_text("usage_usec 0\n")
    assert usable_cores(tmp_path / "groups", membership) == cores


def test_nothing_else_asks_for_the_cores_that_may_be_used() -> None:
    """But one module, whose answer is there on every system."""
    root = Path(__file__).parents[2]
    parts = ("configs", "deployments", "serve_app", "bench")
    own = [file for part in parts for file in (root / part).rglob("*.py")]
    asking = {file.name for file in own if "sched_getaffinity" in file.read_text(encoding="utf-8")}
    assert asking <= {"processor.py", "environment.py"}
