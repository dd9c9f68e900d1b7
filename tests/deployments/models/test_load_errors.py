"""Reasons: each way that loading fails has words of its own, without paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.weights import HubUnavailableError, NoSafeWeightsError
from deployments.classification import Classification
from deployments.engine.interface import EngineNotLoaded
from deployments.models.load_errors import NOT_ENOUGH_MEMORY, reason_of
from deployments.seam.classification import ClassificationRequest
from deployments.seam.problems import Problem
from tests.deployments import tiny
from tests.deployments.conftest import Configured

SECRET = "/home/inside"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(SECRET), "not enough memory"),
        (RuntimeError(f"DefaultCPUAllocator: can't allocate memory {SECRET}"), "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory"),
        (NoSafeWeightsError(SECRET), "no safetensors"),
        (HubUnavailableError(SECRET), "hub does not give it"),
        (FileNotFoundError(SECRET), "files are missing"),
        (ImportError(SECRET), "library"),
        (ValueError(f"{SECRET} requires `trust_remote_code=True`"), "not trusted"),
        (ZeroDivisionError(SECRET), "could not be started"),
    ],
)
def test_each_kind_of_failure_has_its_words(error: Exception, words: str) -> None:
    reason = reason_of(error)
    assert words in reason
    assert SECRET not in reason


def test_what_torch_says_when_memory_runs_out_is_known() -> None:
    with pytest.raises(RuntimeError) as failure:
        torch.empty(2**50, dtype=torch.uint8)
    assert reason_of(failure.value) == NOT_ENOUGH_MEMORY
    wrapped = EngineNotLoaded("the engine was not loaded")
    wrapped.__cause__ = failure.value
    assert reason_of(wrapped) == NOT_ENOUGH_MEMORY


def test_the_cause_says_more_than_what_was_made_of_it() -> None:
    error = RuntimeError("not loaded")
    error.__cause__ = FileNotFoundError(SECRET)
    assert "files are missing" in reason_of(error)


async def _refusal(configured: Configured, folder: Path, **fields: Any) -> str:
    """What a client is told when the model in ``folder`` is asked for and cannot be loaded."""
    family = Classification(configured(folder, pinned=False, **fields))
    answer = await family.classify(ClassificationRequest("tiny", ("w1",)))
    assert isinstance(answer, Problem)
    assert answer.kind == "unavailable"
    assert str(folder) not in answer.message
    return answer.message


@pytest.mark.usefixtures("in_replica")
class TestRealFolders:
    async def test_a_folder_that_is_not_there(self, configured: Configured, tmp_path: Path) -> None:
        assert "files are missing" in await _refusal(configured, tmp_path / "none")

    async def test_pickles_are_not_loaded(self, configured: Configured, tmp_path: Path) -> None:
        folder = tiny.classifier(tmp_path / "pickled")
        weights = folder / "model.safetensors"
        weights.rename(folder / "pytorch_model.bin")
        assert "no safetensors" in await _refusal(configured, folder)

    async def test_an_architecture_that_nobody_knows(
        self, configured: Configured, tmp_path: Path
    ) -> None:
        folder = tiny.classifier(tmp_path / "odd")
        config = json.loads((folder / "config.json").read_text())
        config["model_type"] = "never_heard_of"
        (folder / "config.json").write_text(json.dumps(config))
        assert "architecture is not known" in await _refusal(configured, folder)

    async def test_code_of_its_own_is_not_run(self, configured: Configured, tmp_path: Path) -> None:
        folder = tiny.classifier(tmp_path / "coded")
        config = json.loads((folder / "config.json").read_text())
        config["model_type"] = "its_own"
        config["auto_map"] = {
            name: f"code.{name}" for name in ("AutoConfig", "AutoModelForSequenceClassification")
        }
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "code.py").write_text("raise SystemExit('this ran')")
        assert "not trusted" in await _refusal(configured, folder)

    async def test_weights_that_are_cut_off(self, configured: Configured, tmp_path: Path) -> None:
        folder = tiny.classifier(tmp_path / "cut")
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        assert "damaged" in await _refusal(configured, folder)
