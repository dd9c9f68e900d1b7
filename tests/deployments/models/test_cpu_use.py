"""How busy the cores of a container are, from control groups as Linux lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from deployments.models.cpu_use import CpuUse

MACHINE = 12.0
"""Percent of the machine's cores that are busy."""


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda: MACHINE)
    monkeypatch.setattr("os.cpu_count", lambda: 16)


class Container:
    """A container's view of its control groups, and a clock."""

    def __init__(self, folder: Path, membership: str) -> None:
        self._groups, self._now = folder, 100.0
        (folder / "membership").write_text(membership)
        self.use = CpuUse(folder, folder / "membership", lambda: self._now)

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            file = self._groups / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")

    def busy_after(self, seconds: float) -> float:
        self._now += seconds
        return self.use.busy()


def test_of_a_container_with_a_limit_the_used_part_of_the_limit_counts(tmp_path: Path) -> None:
    container = Container(tmp_path, "0::/\n")
    container.write({"cpu.max": "200000 100000", "cpu.stat": "usage_usec 5000000\nnr_periods 9"})
    assert container.busy_after(1) == 0
    container.write({"cpu.stat": "usage_usec 24000000\nnr_periods 99"})
    assert container.busy_after(10) == pytest.approx(0.95)  # 19 of 20 seconds
    assert container.busy_after(10) == 0


def test_without_a_limit_the_whole_machine_counts(tmp_path: Path) -> None:
    container = Container(tmp_path, "0::/\n")
    assert container.busy_after(1) == MACHINE / 100
    container.write({"cpu.max": "max 100000", "cpu.stat": "usage_usec 5000000"})
    assert container.busy_after(1) == MACHINE / 100


def test_of_several_limits_the_fullest_counts(tmp_path: Path) -> None:
    container = Container(tmp_path, "0::/pod/serve\n")
    container.write({"pod/cpu.max": "200000 100000", "pod/cpu.stat": "usage_usec 0"})
    container.write({"pod/serve/cpu.max": "400000 100000", "pod/serve/cpu.stat": "usage_usec 0"})
    assert container.busy_after(1) == 0
    container.write({"pod/cpu.stat": "usage_usec 16000000"})
    container.write({"pod/serve/cpu.stat": "usage_usec 4000000"})
    assert container.busy_after(10) == pytest.approx(0.8)


def test_a_limit_above_the_machines_cores_is_that_of_its_cores(tmp_path: Path) -> None:
    container = Container(tmp_path, "0::/\n")
    container.write({"cpu.max": "6400000 100000", "cpu.stat": "usage_usec 0"})
    container.busy_after(1)
    container.write({"cpu.stat": "usage_usec 160000000"})
    assert container.busy_after(10) == pytest.approx(1.0)


def test_control_groups_of_version_1_whose_path_is_the_hosts(tmp_path: Path) -> None:
    container = Container(tmp_path, "5:memory:/docker/12ab\n4:cpu,cpuacct:/docker/12ab\n0::/\n")
    container.write({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"})
    container.write({"cpuacct/cpuacct.usage": "0"})
    assert container.busy_after(1) == 0
    container.write({"cpuacct/cpuacct.usage": "10000000000"})
    assert container.busy_after(10) == pytest.approx(0.5)
    container.write({"cpu/cpu.cfs_quota_us": "-1"})
    assert container.busy_after(10) == MACHINE / 100


def test_outside_of_linux_the_whole_machine_counts(tmp_path: Path) -> None:
    assert CpuUse(tmp_path, tmp_path / "none").busy() == MACHINE / 100
