"""Pickled checkpoints become safetensors, and code in them is not run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.conversion import pickles
from deployments.conversion.errors import ConversionError


def test_a_bin_becomes_safetensors_with_the_same_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    origin, folder = tmp_path / "origin", tmp_path / "folder"
    origin.mkdir()
    shared = torch.arange(6.0).reshape(2, 3)
    (origin / "config.json").write_text("{}")
    torch.save(
        {"embed": shared, "head": shared, "bias": torch.ones(3)}, origin / "pytorch_model.bin"
    )
    pickles.write_checkpoint(origin, folder)
    tensors = load_file(folder / "model.safetensors")
    assert "bias" in tensors
    assert torch.equal(tensors["embed" if "embed" in tensors else "head"], shared)
    assert (folder / "config.json").is_file()
    assert not list(folder.glob("*.bin"))


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


def test_a_bin_with_code_in_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    origin = tmp_path / "origin"
    origin.mkdir()
    torch.save({"weight": Payload()}, origin / "pytorch_model.bin")
    with pytest.raises(ConversionError, match="more than weights"):
        pickles.write_checkpoint(origin, tmp_path / "folder")
    assert not (tmp_path / "executed").exists()
