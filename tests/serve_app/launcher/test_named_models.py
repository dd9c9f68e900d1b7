"""Profiles of models that are named on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from configs.errors import ConfigError
from configs.profile_file import load_profile
from configs.settings import Settings
from configs.weights import FolderSource
from serve_app.cli import main
from serve_app.launcher.named_models import profile_of, written_profile
from serve_app.registry.checks import broken_code

SAFETENSORS = (2).to_bytes(8, "little") + b"{}"

# Ray Serve's own modules warn when they are imported with this pydantic.
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")


def model(folder: Path, architecture: str, **config: Any) -> str:
    folder.mkdir()
    told = {"architectures": [architecture], "model_type": "bert", **config}
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(SAFETENSORS)
    return str(folder)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_each_model_goes_to_the_family_of_its_kind_and_is_pinned(tmp_path: Path) -> None:
    named = [
        model(tmp_path / "vectors", "BertModel"),
        model(tmp_path / "writer", "LlamaForCausalLM", max_position_embeddings=99),
        model(tmp_path / "tags", "BertForTokenClassification"),
    ]
    path = written_profile(named, Settings(hf_cache_dir=tmp_path / "cache"))
    profile = load_profile(path, broken_code)
    assert [family.name for family in profile.families] == ["generation", "embeddings", "entities"]
    assert {each.name for each in profile.models} == {"vectors", "writer", "tags"}
    assert all(each.pinned for each in profile.models)
    (writer,) = profile.families[0].models
    assert (writer.window, writer.engine) == (99, "torch")
    assert writer.source == FolderSource(folder=tmp_path / "writer")
    (vectors,) = profile.families[1].models
    assert vectors.engines == ("openvino", "torch")


def test_a_family_that_sleeps_in_the_embedded_profile_is_awake(tmp_path: Path) -> None:
    named = [model(tmp_path / "short", "T5ForConditionalGeneration")]
    profile = load_profile(written_profile(named, Settings(hf_cache_dir=tmp_path)), broken_code)
    (family,) = profile.families
    assert family.options.scaling is not None
    assert family.options.scaling.min_replicas == 1


def test_every_model_that_cannot_be_served_is_named_with_what_it_is(tmp_path: Path) -> None:
    endings = model(tmp_path / "endings", "BertForMultipleChoice")
    same = model(tmp_path / "same", "BertModel")
    (tmp_path / "other").mkdir()
    again = model(tmp_path / "other" / "same", "BertModel")
    named = [endings, str(tmp_path / "missing"), same, again]
    with pytest.raises(ConfigError) as error:
        profile_of(named, Settings(hf_cache_dir=tmp_path))
    first, second, third = error.value.problems
    assert "which chooses between endings" in first
    assert second.endswith("missing: no such folder, GGUF file or repository of the hub")
    assert third == "same: named twice"


def test_init_writes_a_profile_and_no_file_twice(tmp_path: Path) -> None:
    named = model(tmp_path / "vectors", "BertModel")
    file = tmp_path / "mine.yaml"
    assert run("init", named, "--output", str(file)).exit_code == 0
    assert run("check", "--profile", str(file)).exit_code == 0
    again = run("init", named, "--output", str(file))
    assert (again.exit_code, "cannot be written" in again.stderr) == (2, True)
    assert yaml.safe_load(run("init", named).stdout) == yaml.safe_load(file.read_text())


def test_up_takes_models_or_a_profile_but_not_both(tmp_path: Path) -> None:
    named = model(tmp_path / "vectors", "BertModel")
    result = run("up", named, "--profile", "embedded")
    assert result.exit_code == 2
    assert "MODEL excludes --profile and --config" in result.stderr
    result = run("up", str(tmp_path / "missing"))
    assert result.exit_code == 2
    assert "no such folder" in result.stderr
