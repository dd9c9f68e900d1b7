"""The memory of a model on a GPU, estimated from the headers of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from configs.engines import DEFAULT_KV_CACHE_GB
from configs.gpu_memory import CUDA_CONTEXT_GB, GIB, unknown_sizes, weights_gb
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


def test_of_a_pipeline_the_weights_that_are_loaded_are_counted(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    for name in ("unet/a.safetensors", "unet/a.fp16.safetensors", "all.safetensors"):
        save_file({"a": torch.zeros(1000, 1000)}, tmp_path / name)
    found = weights_gb(spec(tmp_path), Settings())
    assert found == pytest.approx(1_000_000 * 2 / GIB)


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
    weigh(tmp_path, millions=2000)
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
    weigh(tmp_path, millions=9000)
    source = {"folder": str(tmp_path)}
    spare = {"name": "house/spare", "tasks": ["embed"], "source": source}
    sound["families"][1]["models"].append(spare)
    (problem,) = problems(sound)
    assert problem.startswith("families.embeddings.models.house/spare: expected to fit")


def test_the_kv_cache_of_a_text_generator_has_to_fit_beside_its_weights(
    sound: dict[str, Any], tmp_path: Path
) -> None:
    weigh(tmp_path, millions=2000)
    source = {"folder": str(tmp_path)}
    writer = sound["families"][0]["models"][0]
    writer |= {"tasks": ["generate"], "source": source, "pinned": True, "kv_cache_gb": 3.0}
    sound["families"][0]["options"] = {"ray_actor_options": {"num_gpus": 1}}
    weights = 2e9 * 2 / GIB
    writer["memory_gb"] = weights + 2.9
    (problem,) = problems(sound)
    assert "writer.memory_gb: expected at least 6.8, which its weights and KV cache" in problem
    writer["memory_gb"] = weights + 3.1
    assert problems(sound) == []
    del writer["kv_cache_gb"]
    writer["memory_gb"] = weights + DEFAULT_KV_CACHE_GB - 0.1
    assert len(problems(sound)) == 1


@pytest.mark.parametrize("gpus", [1, 2])
def test_a_model_that_fits_no_gpu_is_refused_with_its_size_however_many_gpus_there_are(
    sound: dict[str, Any], tmp_path: Path, gpus: int
) -> None:
    weigh(tmp_path, millions=70_000)
    giant = {"name": "house/giant", "tasks": ["embed"], "source": {"folder": str(tmp_path)}}
    family = sound["families"][1]
    family["options"] = {"ray_actor_options": {"num_gpus": gpus}}
    family["models"].append(giant)
    (problem,) = problems(sound)
    size = 70e9 * 2 / GIB + CUDA_CONTEXT_GB
    gpu = sound["gpu_memory_gb"]
    assert f"it takes {size:.1f} GB and 1 of {gpu:g} GB is {gpu:.1f} GB" in problem


def test_a_size_that_is_not_known_yet_is_told(sound: dict[str, Any], tmp_path: Path) -> None:
    here, models = tmp_path / "here", sound["families"][1]["models"]
    here.mkdir()
    weigh(here, millions=1)
    models[0]["source"] = {"folder": str(here)}
    assert notes(sound, tmp_path) == []
    models[0] |= {"source": {"hub": "house/reader"}, "memory_gb": 2}
    models.append({"name": "house/spare", "tasks": ["embed"], "source": {"hub": "house/spare"}})
    stated, unstated = notes(sound, tmp_path)
    assert stated.startswith("families.embeddings.models.house/reader: its size is not known")
    assert "memory_gb (2) is taken as it is" in stated
    assert unstated.startswith("families.embeddings.models.house/spare: its size is not known")
    assert "memory_gb would say" in unstated


def test_off_the_gpu_no_size_has_to_be_known(sound: dict[str, Any], tmp_path: Path) -> None:
    family = sound["families"][1]
    family["models"][0]["source"] = {"hub": "house/reader"}
    assert len(notes(sound, tmp_path)) == 1
    family["options"] = {}
    assert notes(sound, tmp_path) == []


def weigh(folder: Path, millions: int) -> None:
    """The header of a checkpoint of so many parameters."""
    header = f'{{"a":{{"dtype":"F16","shape":[{millions},1000000],"data_offsets":[0,0]}}}}'.encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def notes(content: dict[str, Any], cache: Path) -> list[str]:
    return list(unknown_sizes(Profile.model_validate(content), Settings(hf_cache_dir=cache)))


def problems(content: dict[str, Any]) -> list[str]:
    profile = Profile.model_validate(content)
    return broken_rules(profile, load_settings(profile))
