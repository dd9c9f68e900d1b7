"""A text generator is measured once for each processor that has a choice of dtypes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.weights import (
    RECORD_FILE,
    ConversionFailedError,
    DtypeChoice,
    DtypeFigures,
    FolderNotFoundError,
    FolderSource,
    conversion,
    fastest_dtype,
    is_dtype_known,
)
from configs.weights.dtypes import DTYPE_RECORD_FILE
from tests.configs.conftest import silent

FIGURES = {
    "float32": DtypeFigures(100.0, 20.0, 48),
    "bfloat16": DtypeFigures(180.0, 20.1, 48, compared_texts=16, same_texts=15),
}


@pytest.fixture
def source(origin: Path) -> FolderSource:
    return FolderSource(folder=origin)


class Recipe:
    """Replaces the measurement, which ``breaks`` or chooses bfloat16; ``count`` has its runs."""

    def __init__(self) -> None:
        self.breaks = False
        self.count = 0

    def __call__(self, name: str, _: Path, folder: Path, options: dict[str, Any]) -> None:
        assert name == "openvino-dtypes"
        self.count += 1
        if self.breaks:
            raise ConversionFailedError("out of memory")
        figures = {
            "float32": {"tokens_per_s": 100.0, "perplexity": 20.0, "compared_tokens": 48},
            "bfloat16": {
                "tokens_per_s": 180.0,
                "perplexity": 20.1,
                "compared_tokens": 48,
                "compared_texts": 16,
                "same_texts": 15,
            },
        }
        record = {"chosen": "bfloat16", "figures": figures}
        (folder / DTYPE_RECORD_FILE).write_text(json.dumps(record))


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    made = Recipe()
    monkeypatch.setattr(conversion, "run", made)
    on_processor(monkeypatch, native=True)
    return made


def on_processor(monkeypatch: pytest.MonkeyPatch, *, native: bool) -> None:
    monkeypatch.setattr("configs.weights.per_processor.native_bfloat16", lambda: native)


def test_a_model_is_measured_once_and_the_record_has_the_figures(
    source: FolderSource, recipe: Recipe, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert not is_dtype_known(source, cache)
    for _ in range(2):
        assert fastest_dtype(source, cache, progress=silent) == DtypeChoice("bfloat16", FIGURES)
    assert recipe.count == 1
    assert is_dtype_known(source, cache)
    (file,) = cache.glob(f"models/*/{RECORD_FILE}")
    record = json.loads(file.read_text())
    assert record["dtypes"]["chosen"] == "bfloat16"
    assert record["made_by"]["openvino"]
    assert record["made_by"]["processor"]


def test_another_processor_measures_for_itself(
    source: FolderSource, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest_dtype(source, tmp_path / "cache", progress=silent)
    monkeypatch.setattr("configs.weights.delivery.processor_name", lambda: "another")
    assert not is_dtype_known(source, tmp_path / "cache")
    fastest_dtype(source, tmp_path / "cache", progress=silent)
    assert recipe.count == 2


def test_a_processor_without_bfloat16_has_nothing_to_measure(
    source: FolderSource, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_processor(monkeypatch, native=False)
    assert is_dtype_known(source, tmp_path / "cache")
    assert fastest_dtype(source, tmp_path / "cache", progress=silent) == DtypeChoice("float32")
    assert recipe.count == 0


def test_a_measurement_that_breaks_down_leaves_float32_and_is_tried_again(
    source: FolderSource, recipe: Recipe, tmp_path: Path
) -> None:
    recipe.breaks = True
    assert fastest_dtype(source, tmp_path / "cache", progress=silent) == DtypeChoice("float32")
    recipe.breaks = False
    assert fastest_dtype(source, tmp_path / "cache", progress=silent).dtype == "bfloat16"


def test_missing_weights_are_an_error_of_the_weights(recipe: Recipe, tmp_path: Path) -> None:
    missing = FolderSource(folder=tmp_path / "missing")
    with pytest.raises(FolderNotFoundError):
        fastest_dtype(missing, tmp_path / "cache", progress=silent)
    assert not is_dtype_known(missing, tmp_path / "cache")
