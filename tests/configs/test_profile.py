"""Profiles: what they say of their models, and the contents of those that are shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import configs
from configs.profile import ModelSpec, Profile, load_settings
from configs.profile_file import load_profile

Write = Callable[[Any], Path]
SHIPPED = sorted(file.stem for file in Path(configs.__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_loads_under_its_own_name(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    load_settings(profile)


def test_the_profiles_that_are_promised_are_shipped() -> None:
    assert {"embedded", "hub", "gpu"} <= set(SHIPPED)


def test_a_sound_profile_loads_from_its_path(sound: dict[str, Any], written: Write) -> None:
    profile = load_profile(written(sound))
    assert [family.deployment_name for family in profile.families] == ["Generation", "Embeddings"]
    assert profile.models[1].name == "house/reader"
    assert profile.family_of(profile.models[1]).name == "embeddings"


def test_settings_come_from_the_profile(sound: dict[str, Any]) -> None:
    sound["settings"] = {"batch_size": 3}
    assert load_settings(Profile.model_validate(sound)).batch_size == 3


def test_one_class_may_serve_several_families(sound: dict[str, Any]) -> None:
    hot = {**sound["families"][0], "name": "hot_chat"}
    families = Profile.model_validate({**sound, "families": [sound["families"][0], hot]}).families
    assert [family.deployment_name for family in families] == ["Generation", "HotChat"]


@pytest.mark.parametrize(
    ("fields", "engines"),
    [
        ({"tasks": ["embed"]}, ("openvino", "torch")),
        ({"tasks": ["rerank", "zero_shot"]}, ("openvino", "torch")),
        ({"tasks": ["embed"], "engine": "torch"}, ("torch",)),
        ({"tasks": ["embed"], "engine": "openvino"}, ("openvino",)),
        ({"tasks": ["embed", "entities"]}, ("torch",)),
        ({"tasks": ["embed"], "quantization": "int8"}, ("torch",)),
        ({"tasks": ["embed"], "trust_remote_code": True}, ("torch",)),
        ({"tasks": ["embed"], "dtype": "float16"}, ("torch",)),
        ({"tasks": ["generate"]}, ("torch",)),
        ({"tasks": ["generate"], "engine": "openvino"}, ("openvino",)),
        ({"tasks": ["caption"]}, ("torch",)),
    ],
)
def test_a_model_tells_which_engines_may_run_it(
    fields: dict[str, Any], engines: tuple[str, ...]
) -> None:
    spec = ModelSpec.model_validate({"name": "one", "source": {"folder": "/models"}, **fields})
    assert spec.engines == engines


@pytest.mark.parametrize(
    ("fields", "noted"),
    [
        ({"engine": "openvino", "dtype": "dynamic-int8"}, ["dynamic-int8"]),
        ({"engine": "openvino", "dtype": "bfloat16"}, ["bfloat16"]),
        ({"engine": "openvino", "dtype": "float32"}, []),
        ({"engine": "openvino"}, []),
        ({"engine": "torch", "dtype": "bfloat16"}, []),
        ({"tasks": ["embed"], "dtype": "bfloat16"}, []),
    ],
)
def test_a_generator_notes_a_dtype_in_which_neighbours_change_texts(
    fields: dict[str, Any], noted: list[str]
) -> None:
    given = {"name": "one", "tasks": ["generate"], "source": {"folder": "/models"}, **fields}
    notes = ModelSpec.model_validate(given).notes
    assert [note.split()[1].rstrip(":") for note in notes] == noted


def test_only_exports_that_replicas_will_need_are_made_ahead(sound: dict[str, Any]) -> None:
    def heads() -> list[str | None]:
        profile = Profile.model_validate(sound)
        return [profile.export_of(model) for model in profile.models]

    assert heads() == [None, None]  # the reader is on a GPU
    sound["families"][1]["options"]["ray_actor_options"]["num_gpus"] = 0
    assert heads() == [None, "embedding"]
    sound["families"][1]["models"][0]["engine"] = "torch"
    assert heads() == [None, None]


def test_every_embedded_model_has_its_short_name() -> None:
    for model in load_profile("embedded").models:
        assert model.name.rpartition("/")[2] in model.aliases, model.name


def test_folders_and_templates_start_at_the_profiles_own_folder(
    sound: dict[str, Any], written: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").touch()
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    model = sound["families"][0]["models"][0]
    model |= {"source": {"folder": "mine"}, "chat_template": "chat.jinja"}
    spec = load_profile(written(sound)).models[0]
    assert spec.source.name == str(tmp_path / "mine")
    assert spec.template() == "{{ messages }}"


def test_a_profile_in_python_has_its_paths_as_they_are() -> None:
    spec = ModelSpec.model_validate(
        {
            "name": "one",
            "tasks": ["embed"],
            "source": {"folder": "mine"},
            "chat_template": "a.jinja",
        }
    )
    assert (spec.source.name, spec.chat_template) == ("mine", "a.jinja")
