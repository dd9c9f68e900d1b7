"""Memory: what is measured is there, and what is given back is gone."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import psutil
import pytest
import torch

from deployments.models.memory import MemoryUse, give_back, own_weights, process_bytes
from tests.deployments import tiny

MIB = 1024**2


class Cycle:
    """What can be looked at when it is gone, unlike a list."""

    def __init__(self, held: list[object]) -> None:
        self.held = held


ALLOCATE_AND_GIVE_BACK = """
import torch
from deployments.models.memory import give_back, memory_use

give_back()
before = memory_use()
# Of pieces too small to be mapped each by itself: the C library keeps those.
pieces = [torch.ones(8 * 1024) for _ in range(2000)]
print((memory_use() - before).host)
cycle = [pieces]
cycle.append(cycle)
del pieces, cycle
give_back()
print((memory_use() - before).host)
"""


def test_what_is_allocated_is_counted_and_given_back() -> None:
    """In a process where nothing else, such as a thread of an earlier test, frees memory."""
    ran = subprocess.run(
        [sys.executable, "-c", ALLOCATE_AND_GIVE_BACK], check=True, capture_output=True, text=True
    )
    grown, left = map(int, ran.stdout.split())
    assert grown > 50 * MIB
    assert left < grown / 10


def test_what_was_frozen_is_given_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Serve freezes what a replica has when its constructor is done."""
    monkeypatch.setattr("deployments.models.memory.gc", gc)
    held: list[object] = [tiny]
    cycle = Cycle(held)
    held.append(cycle)
    gone = weakref.ref(cycle)
    gc.freeze()
    del held, cycle
    give_back()
    assert gone() is None
    assert gc.get_freeze_count()


def test_nothing_is_counted_below_zero() -> None:
    assert MemoryUse(1, 1) - MemoryUse(2, 0) == MemoryUse(0, 1)


def test_a_process_counts_what_it_has_for_itself() -> None:
    code = "import time; kept = bytearray(64 * 1024**2); print('there', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 64 * MIB < process_bytes(process.pid) < 128 * MIB
        process.kill()
    assert process_bytes(process.pid) == 0


def test_weights_are_memory_of_the_process_not_of_the_file(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = tiny.classifier(tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    weights = str(folder / "model.safetensors")
    assert weights in mapped()
    values = {name: tensor.clone() for name, tensor in model.named_parameters()}
    own_weights(model)
    assert weights not in mapped()
    assert all(torch.equal(values[name], tensor) for name, tensor in model.named_parameters())


def mapped() -> set[str]:
    return {region.path for region in psutil.Process().memory_maps()}
