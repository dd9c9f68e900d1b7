"""The memory of a model on a GPU, estimated from the headers of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from configs.gpu_memory import GIB, weights_gb
from configs.profile import ModelSpec, Profile, load_settings
from configs.rules import broken_rules
from configs.settings import Settings

NUMBERS = 3_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in float32, in two files."""
    made = tmp_path_factory.mktemp("sized")
    save_file({"a": torch.zeros(1000, 1000)}, made / "model-1.safetensors")
    save_file({"b": torch.zeros(2_000_000)}, made / "model-2.safetensors")
    return made


def spec(folder: Path, **fields: Any) -> ModelSpec:
    given = {"name": "one", "tasks": ["generate"], "source": {"folder": str(folder)}}
    return ModelSpec.model_validate(given | fields)


@pytest.mark.parametrize(
    ("fields", "settings", "width"),
    [
        ({}, {}, 2),
        ({"dtype": "float32"}, {}, 4),
        ({"dtype": "float16"}, {}, 2),
        ({"quantization": "int8"}, {}, 1),
        ({"quantization": "nf4"}, {}, 0.5),
        ({}, {"use_quantization": True}, 0.5),
        ({"quantization": "int8"}, {"use_quantization": True}, 1),
    ],
)
def test_weights_are_counted_in_the_dtype_of_the_computation(
    folder: Path, fields: dict[str, Any], settings: dict[str, Any], width: float
) -> None:
    found = weights_gb(spec(folder, **fields), Settings(**settings))
    assert found == pytest.approx(NUMBERS * width / GIB)


def test_weights_that_are_not_cached_have_no_known_size(tmp_path: Path) -> None:
    hub = spec(tmp_path, source={"hub": "house/writer"})
    assert weights_gb(hub, Settings(hf_cache_dir=tmp_path)) is None
    assert weights_gb(spec(tmp_path / "nosuch"), Settings()) is None


def test_a_file_that_is_cut_short_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 12)
    assert weights_gb(spec(tmp_path), Settings()) is None


def test_a_profile_cannot_say_that_a_model_is_smaller_than_its_weights(
    sound: dict[str, Any], tmp_path: Path
) -> None:
    header = b'{"a":{"dtype":"F16","shape":[2000,1000000],"data_offsets":[0,0]}}'
    sparse = tmp_path / "model.safetensors"
    sparse.write_bytes(len(header).to_bytes(8, "little") + header)
    model = sound["families"][1]["models"][0]
    model |= {"source": {"folder": str(tmp_path)}, "memory_gb": 3.7}
    (problem,) = problems(sound)
    assert problem.startswith(
        "families.embeddings.models.house/reader.memory_gb: expected at least"
    )
    assert "3.8" in problem
    model["memory_gb"] = 3.8
    assert problems(sound) == []


def test_a_model_on_demand_is_measured_by_its_weights_where_the_profile_does_not_say(
    sound: dict[str, Any], tmp_path: Path
) -> None:
    header = b'{"a":{"dtype":"F16","shape":[9000,1000000],"data_offsets":[0,0]}}'
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    source = {"folder": str(tmp_path)}
    spare = {"name": "house/spare", "tasks": ["embed"], "source": source}
    sound["families"][1]["models"].append(spare)
    (problem,) = problems(sound)
    assert problem.startswith("families.embeddings.models.house/spare: expected to fit")


def problems(content: dict[str, Any]) -> list[str]:
    profile = Profile.model_validate(content)
    return broken_rules(profile, load_settings(profile))
