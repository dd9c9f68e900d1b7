"""What a replica reports of its GPUs, with a stand-in for torch's functions."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch

from deployments.models.gpu_gauges import gpu_gauges

GIB = 1024**3


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins = {
        "is_initialized": lambda: True,
        "memory_allocated": lambda: 3 * GIB,
        "memory_reserved": lambda: 4 * GIB,
        "max_memory_allocated": lambda: 5 * GIB,
        "device_count": lambda: 2,
        "get_device_properties": lambda index: SimpleNamespace(uuid=f"uuid-{index}"),
        "mem_get_info": lambda index: ((10 + index) * GIB, 24 * GIB),
        "utilization": lambda index: 50 * index,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)


def reported() -> dict[tuple[str, ...], float]:
    return {(each.signal, *each.labels): each.amounts[0] for each in gpu_gauges("vision", "n")}


@pytest.mark.usefixtures("_two_gpus")
def test_memory_of_the_family_and_memory_and_use_of_each_device() -> None:
    assert reported() == {
        ("gpu_allocated_bytes", "vision"): 3 * GIB,
        ("gpu_reserved_bytes", "vision"): 4 * GIB,
        ("gpu_used_bytes", "n", "uuid-0"): 14 * GIB,
        ("gpu_used_bytes", "n", "uuid-1"): 13 * GIB,
        ("gpu_size_bytes", "n", "uuid-0"): 24 * GIB,
        ("gpu_size_bytes", "n", "uuid-1"): 24 * GIB,
        ("gpu_utilization_ratio", "n", "uuid-0"): 0.0,
        ("gpu_utilization_ratio", "n", "uuid-1"): 0.5,
    }


class NVMLError(Exception):
    """NVIDIA's own errors derive from ``Exception``, as this one."""


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("nvidia-ml-py does not seem to be installed"), NVMLError()]
)
def test_where_use_cannot_be_measured_memory_still_is(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refused(index: int) -> NoReturn:
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", refused)
    found = {key[0] for key in reported()}
    assert "gpu_used_bytes" in found
    assert "gpu_utilization_ratio" not in found


@pytest.mark.usefixtures("_two_gpus")
def test_a_device_that_is_lost_costs_only_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_is_lost(index: int) -> tuple[int, int]:
        if index == 0:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return 10 * GIB, 24 * GIB

    monkeypatch.setattr(torch.cuda, "mem_get_info", first_is_lost)
    found = set(reported())
    assert ("gpu_allocated_bytes", "vision") in found
    assert ("gpu_used_bytes", "n", "uuid-1") in found
    assert ("gpu_used_bytes", "n", "uuid-0") not in found


@pytest.mark.parametrize("so_far", [SimpleNamespace(), SimpleNamespace(cuda=SimpleNamespace())])
def test_while_another_thread_imports_torch_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch, so_far: SimpleNamespace
) -> None:
    monkeypatch.setitem(sys.modules, "torch", so_far)
    assert reported() == {}


def test_without_a_gpu_there_is_nothing() -> None:
    assert reported() == {}
