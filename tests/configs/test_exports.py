"""Exports to OpenVINO are made once for each processor, and so are refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.weights import (
    RECORD_FILE,
    ConversionFailedError,
    FolderNotFoundError,
    FolderSource,
    WeightsStep,
    conversion,
    exported,
    is_exported,
)
from configs.weights.exports import EXPORT_RECORD_FILE
from tests.configs.conftest import silent

FACTS = {
    "processor": "a",
    "faster": "openvino",
    "milliseconds": {"torch": {"1": 4.0}, "openvino": {"1": 2.0}},
}


@pytest.fixture
def source(origin: Path) -> FolderSource:
    return FolderSource(folder=origin)


class Recipe:
    """Replaces the conversion; ``done`` has the options of each call."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.fails = False
        self.done: list[dict[str, Any]] = []

    def __call__(self, name: str, _: Path, folder: Path, options: dict[str, Any]) -> None:
        self.done.append(options)
        if self.fails:
            raise ConversionFailedError("out of memory")
        (folder / EXPORT_RECORD_FILE).write_text(json.dumps(self.facts))


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    made = Recipe(FACTS)
    monkeypatch.setattr(conversion, "run", made)
    return made


def test_an_export_is_made_once_and_its_record_has_both_figures(
    source: FolderSource, recipe: Recipe, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert not is_exported(source, "embedding", cache)
    first = exported(source, "embedding", cache, progress=silent)
    assert first == exported(source, "embedding", cache, progress=silent)
    assert recipe.done == [{"head": "embedding"}]
    assert is_exported(source, "embedding", cache)
    assert first.folder is not None
    assert (first.faster, first.milliseconds["torch"]["1"]) == ("openvino", 4.0)
    assert first.faster_in("float32") == "openvino"
    record = json.loads((first.folder / RECORD_FILE).read_text())
    assert record["export"] == FACTS
    assert record["made_by"]["openvino"]
    assert not (first.folder / EXPORT_RECORD_FILE).exists()


def test_a_record_has_the_faster_engine_of_each_dtype(
    source: FolderSource, recipe: Recipe, tmp_path: Path
) -> None:
    exact = {"faster": "torch", "milliseconds": {"torch": {"1": 1.0}, "openvino": {"1": 2.0}}}
    recipe.facts = {**FACTS, "float32": exact, "bfloat16_difference": 0.01}
    export = exported(source, "embedding", tmp_path / "cache", progress=silent)
    assert (export.faster_in("auto"), export.faster_in("float32")) == ("openvino", "torch")


def test_weights_in_several_folders_are_reported_ready_once(
    source: FolderSource, recipe: Recipe, tmp_path: Path
) -> None:
    given = {"folder": source.folder, "convert": "sentiment-head"}
    converted = FolderSource.model_validate(given)
    told: list[WeightsStep] = []
    exported(converted, "sequence", tmp_path / "cache", progress=told.append)
    assert len(recipe.done) == 2
    assert [step.stage for step in told] == ["converting", "converting", "ready"]
    exported(converted, "sequence", tmp_path / "cache", progress=told.append)
    assert len(told) == 3


def test_each_head_and_each_processor_has_an_export_of_its_own(
    source: FolderSource, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(source, "embedding", tmp_path / "cache", progress=silent)
    exported(source, "token", tmp_path / "cache", progress=silent)
    monkeypatch.setattr("configs.weights.delivery.processor_name", lambda: "another")
    assert not is_exported(source, "embedding", tmp_path / "cache")
    exported(source, "embedding", tmp_path / "cache", progress=silent)
    assert len(recipe.done) == 3


def test_other_weights_are_exported_anew(
    source: FolderSource, recipe: Recipe, tmp_path: Path
) -> None:
    exported(source, "embedding", tmp_path / "cache", progress=silent)
    (source.folder / "model.safetensors").write_text("other weights")
    exported(source, "embedding", tmp_path / "cache", progress=silent)
    assert len(recipe.done) == 2


def test_a_refusal_is_remembered(source: FolderSource, recipe: Recipe, tmp_path: Path) -> None:
    recipe.facts = {"processor": "a", "refusal": "no such layer"}
    for _ in range(2):
        export = exported(source, "embedding", tmp_path / "cache", progress=silent)
        assert (export.folder, export.refusal, export.faster) == (None, "no such layer", "torch")
    assert len(recipe.done) == 1
    assert is_exported(source, "embedding", tmp_path / "cache")


def test_a_conversion_that_breaks_down_leaves_torch_and_is_tried_again(
    source: FolderSource, recipe: Recipe, tmp_path: Path
) -> None:
    recipe.fails = True
    export = exported(source, "embedding", tmp_path / "cache", progress=silent)
    assert (export.folder, export.faster) == (None, "torch")
    recipe.fails = False
    assert exported(source, "embedding", tmp_path / "cache", progress=silent).folder is not None


def test_missing_weights_are_an_error_of_the_weights_and_not_of_the_export(tmp_path: Path) -> None:
    missing = FolderSource(folder=tmp_path / "missing")
    with pytest.raises(FolderNotFoundError):
        exported(missing, "embedding", tmp_path / "cache", progress=silent)
    assert not is_exported(missing, "embedding", tmp_path / "cache")
