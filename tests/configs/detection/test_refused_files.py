"""Files of models that cannot be right, are too large, or lead out of their folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from configs.detection import (
    Inspection,
    ModelNotThereError,
    ModelRefusedError,
    inspect_model,
    model_files,
)
from configs.weights import FolderSource
from tests.configs.detection.model_folders import EMPTY, folder, inspected, kind

BAD_FILES: list[tuple[dict[str, Any], str]] = [
    ({"config__json": "{"}, "config.json is not JSON"),
    ({"config__json": "[]"}, "config.json is not an object"),
    ({"config__json": "[" * 100_000}, "config.json is not JSON"),
    ({"config__json": b"\xff\xfe{}"}, "config.json is not JSON"),
    ({"config__json": " " * 1_100_000}, "config.json has more than"),
    ({"model__safetensors": b""}, "model.safetensors is not safetensors, or damaged"),
    ({"model__safetensors": b"\xff" * 16}, "model.safetensors is not safetensors, or damaged"),
    ({"model__safetensors": EMPTY[:-1]}, "model.safetensors is not safetensors, or damaged"),
    ({"model__safetensors": EMPTY[:8] + b"xx"}, "model.safetensors is not safetensors"),
    ({"model__safetensors": None}, "has no safetensors weights"),
    ({"tokenizer__json": None}, "has no tokenizer"),
    ({"config__json": None}, "has no config.json"),
]


@pytest.mark.parametrize(("files", "why"), BAD_FILES)
def test_files_that_cannot_be_right_are_refused(
    tmp_path: Path, files: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModelRefusedError, match=why):
        inspected(folder(tmp_path, kind("LlamaForCausalLM"), **files))


def test_pickles_are_refused_unless_the_rule_converts_them(tmp_path: Path) -> None:
    files = {"model__safetensors": None, "pytorch_model__bin": b"pickle"}
    made = folder(tmp_path, kind("LlamaForCausalLM"), **files)
    with pytest.raises(ModelRefusedError, match="pickles are not loaded here"):
        inspected(made)
    assert inspected(made, allow_bin=True).format == "pickle"


def test_weights_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    with (made / "model-2.safetensors").open("wb") as file:
        file.write(EMPTY)
        file.truncate(2**20)
    with pytest.raises(ModelRefusedError, match="at most"):
        inspected(made, max_gb=0.0005)


@pytest.mark.parametrize("small", ["model.gguf", "2_Dense/model.safetensors"])
def test_small_weights_beside_large_ones_do_not_hide_them(tmp_path: Path, small: str) -> None:
    name = "model.safetensors" if small.endswith(".gguf") else "pytorch_model.bin"
    made = folder(tmp_path, kind("LlamaForCausalLM"), model__safetensors=None)
    (made / small).parent.mkdir(exist_ok=True)
    (made / small).write_bytes(EMPTY)
    with (made / name).open("wb") as file:
        file.write(EMPTY)
        file.truncate(2**20)
    with pytest.raises(ModelRefusedError, match="at most"):
        inspected(made, allow_bin=True, max_gb=0.0005)
    assert inspected(made, allow_bin=True).weight_bytes >= 2**20


def test_a_folder_outside_the_allowed_one_is_not_there(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    inside = tmp_path / "allowed"
    inside.mkdir()
    (inside / "link").symlink_to(made)
    for path in (inside / "link", inside / ".." / "models" / "model", inside, inside / "missing"):
        with pytest.raises(ModelNotThereError):
            inspect_model(Inspection(FolderSource(folder=path), inside, 1.0), tmp_path)


@pytest.mark.parametrize("name", ["generation_config.json", "1_Pooling", "a/b/c/deep.json"])
@pytest.mark.parametrize("target", ["secret", "secret.json", "models/other", "missing"])
def test_a_link_that_leads_out_of_the_folder_is_refused(
    tmp_path: Path, name: str, target: str
) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    (tmp_path / "secret.json").write_text("{}")
    for each in ("secret", "models/other"):
        (tmp_path / each).mkdir()
    (made / name).parent.mkdir(parents=True, exist_ok=True)
    (made / name).symlink_to(tmp_path / target)
    with pytest.raises(ModelRefusedError, match=f"its {name} is a link that leads out of the fold"):
        inspected(made)


def test_links_inside_the_folder_are_followed_once(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"), tokenizer__json=None, config__json=None)
    (made / "blobs").mkdir()
    (made / "blobs" / "1").write_text(json.dumps(kind("LlamaForCausalLM")))
    (made / "config.json").symlink_to("blobs/1")
    (made / "tokenizer.json").symlink_to(made / "blobs" / "1")
    (made / "blobs" / "again").symlink_to(made)
    assert inspected(made).kinds[0].tasks == ("generate", "chat")


def test_a_folder_of_too_many_folders_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "MAX_FILES", 10)
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    made.joinpath(*"abcdefghijk").mkdir(parents=True)
    with pytest.raises(ModelRefusedError, match="more than 10 files and folders"):
        inspected(made)


@pytest.mark.parametrize("module", [{"path": "../../other"}, {"path": "/etc"}, {"path": 1}, "x"])
def test_a_module_outside_the_folder_is_refused(tmp_path: Path, module: Any) -> None:
    modules = [{"path": ""}, {"path": "1_Pooling"}, module]
    made = folder(tmp_path, kind("BertModel", model_type="bert"), modules__json=modules)
    with pytest.raises(ModelRefusedError, match=r"modules\.json names a path"):
        inspected(made)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"), config__json=None)
    os.mkfifo(made / "config.json")
    with pytest.raises(ModelRefusedError, match=r"has no config\.json"):
        inspected(made)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "models" / "model").mkdir(parents=True)
    with pytest.raises(ModelNotThereError):
        inspected(tmp_path / "models" / "model")
