from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from configs.gpu_memory import CUDA_CONTEXT_GB, GIB
from configs.processor import usable_cores
from deployments.models.device import (
    allocator_fraction,
    claim_device,
    computes_in_half,
    pick_device,
    pick_dtype,
)
from tests.deployments.models.devices import Sight, config, model

GPU_BYTES = 24 * GIB


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The shares of the GPU's memory that were claimed."""
    claimed: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", claimed.append)
    gpu = SimpleNamespace(total_memory=GPU_BYTES)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    return claimed


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, False, "cuda"), (False, True, "mps"), (True, True, "cuda"), (False, False, "cpu")],
)
def test_auto_takes_the_best_device_there_is(
    sees: Sight, cuda: bool, mps: bool, expected: str
) -> None:
    sees(cuda=cuda, mps=mps)
    assert pick_device(config()) == expected


def test_the_cpu_is_taken_when_asked_for_although_there_is_a_gpu(sees: Sight) -> None:
    sees(cuda=True)
    assert pick_device(config(device="cpu")) == "cpu"
    assert pick_device(config(use_gpu=False)) == "cpu"
    assert pick_device(config(use_gpu=False, device="cuda")) == "cpu"


def test_a_gpu_that_the_family_has_no_share_of_is_not_taken(sees: Sight) -> None:
    sees(cuda=True)
    assert pick_device(config(gpu_fraction=0.0)) == "cpu"
    with pytest.raises(RuntimeError, match="cuda was requested"):
        pick_device(config(gpu_fraction=0.0, device="cuda"))


def test_a_family_without_a_gpu_is_on_the_cpu_whatever_torch_would_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    monkeypatch.setattr(sys, "platform", "linux")
    assert pick_device(config(gpu_fraction=0.0)) == "cpu"
    assert pick_device(config(device="cpu")) == "cpu"
    with pytest.raises(ImportError):
        pick_device(config())


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_was_asked_for_and_is_missing_is_an_error(sees: Sight, device: str) -> None:
    sees()
    with pytest.raises(RuntimeError, match=f"{device} was requested"):
        pick_device(config(device=device))


@pytest.mark.parametrize(
    ("device", "native", "expected"),
    [
        ("cpu", True, torch.bfloat16),
        ("cpu", False, torch.float32),
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
        ("mps", False, torch.float16),
    ],
)
def test_auto_takes_the_dtype_that_the_device_is_fast_at(
    sees: Sight, device: str, native: bool, expected: torch.dtype
) -> None:
    sees(cuda=True, bfloat16=native)
    assert pick_dtype(model(), device) is expected


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_dtype_that_the_profile_names_is_taken(device: str, name: str) -> None:
    assert pick_dtype(model(dtype=name), device) is getattr(torch, name)


def test_replicas_and_their_cuda_contexts_fit_a_gpu_together(
    sees: Sight, shares: list[float]
) -> None:
    sees(cuda=True)
    for fraction in (0.5, 0.25, 0.25):
        assert claim_device(config(gpu_fraction=fraction)) == "cuda"
    taken = sum(shares) * GPU_BYTES + 3 * CUDA_CONTEXT_GB * GIB
    assert taken == pytest.approx(GPU_BYTES)
    assert shares[0] * GPU_BYTES == pytest.approx((12 - CUDA_CONTEXT_GB) * GIB)


@pytest.mark.parametrize("gigabytes", [0.5, 4.0])
def test_a_share_that_holds_only_a_cuda_context_is_refused(gigabytes: float) -> None:
    share = CUDA_CONTEXT_GB / gigabytes
    with pytest.raises(RuntimeError, match=f"of a GPU of {gigabytes:.1f} GiB has no room"):
        allocator_fraction(share, int(gigabytes * GIB))
    assert allocator_fraction(share + 0.01, int(gigabytes * GIB)) == pytest.approx(0.01)


@pytest.mark.parametrize("whole", [1.0, 2.0])
def test_whole_gpus_are_not_bounded(sees: Sight, shares: list[float], whole: float) -> None:
    sees(cuda=True)
    claim_device(config(gpu_fraction=whole))
    assert shares == []


def test_off_the_gpu_there_is_no_share_to_claim(sees: Sight, shares: list[float]) -> None:
    sees()
    assert claim_device(config(gpu_fraction=0.5)) == "cpu"
    assert shares == []


def test_torch_gets_the_threads_of_the_settings() -> None:
    claim_device(config(threads=1, device="cpu"))
    assert torch.get_num_threads() == 1


def test_without_a_setting_it_gets_every_core_it_may_use() -> None:
    claim_device(config(device="cpu"))
    assert torch.get_num_threads() == usable_cores()


@pytest.mark.parametrize(
    ("dtype", "native", "half"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("float32", True, False),
        ("bfloat16", False, True),
        ("float16", False, True),
    ],
)
def test_auto_is_half_precision_where_the_processor_has_it(
    dtype: Any, native: bool, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.models.device.native_bfloat16", lambda: native)
    assert computes_in_half(config(device="cpu"), model(dtype=dtype)) is half
    assert (pick_dtype(model(dtype=dtype), "cpu") is not torch.float32) is half


def test_on_a_gpu_auto_is_half_precision(sees: Sight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.models.device.native_bfloat16", lambda: False)
    sees(cuda=True)
    assert computes_in_half(config(gpu_fraction=1.0), model(dtype="auto"))
    assert not computes_in_half(config(gpu_fraction=1.0), model(dtype="float32"))
