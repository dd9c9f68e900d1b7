"""Profiles: the messages about a bad file, and the contents of the shipped profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import configs
from configs.errors import EXAMPLES, ConfigError
from configs.profile import ModelSpec, Profile, load_settings
from configs.profile_file import load_profile, profile_path

Write = Callable[[Any], Path]
SHIPPED = sorted(file.stem for file in Path(configs.__file__).parent.glob("*.yaml"))


def refusal(reference: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_profile(reference)
    return str(caught.value)


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


def test_a_name_is_a_file_beside_the_module_and_a_path_is_itself() -> None:
    assert profile_path("embedded").is_file()
    assert profile_path("some/where.yaml") == Path("some/where.yaml")
    assert profile_path("where.yml") == Path("where.yml")


def test_a_name_that_is_not_there_lists_those_that_are() -> None:
    message = refusal("nosuch")
    assert "nosuch.yaml: cannot be read (No such file or directory)" in message
    assert "embedded" in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    assert refusal(folder).startswith(f"{folder}: cannot be read")


def test_a_file_that_is_not_yaml_is_named_with_the_place(written: Write) -> None:
    path = written("families: [")
    message = refusal(path)
    assert message.startswith(f"{path}: is not YAML")
    assert "line 1" in message


def test_a_key_that_is_there_twice_is_told_with_its_line(
    sound: dict[str, Any], written: Write
) -> None:
    """YAML readers silently use the last one."""
    path = written("name: mine\n" + written(sound).read_text())
    message = refusal(path)
    assert message.startswith(f"{path}: is not YAML: the key 'name' is there twice")
    assert "line " in message
    assert "\n" not in message


def test_keys_beside_a_merge_are_not_there_twice(sound: dict[str, Any], written: Write) -> None:
    text = written(sound).read_text()
    merged = """
settings: {<<: &given {batch_size: 3}, batch_size: 4}
ingress: &front {max_ongoing_requests: 7}
ledger: {<<: *front, max_ongoing_requests: 8}
"""
    without = text.partition("settings:")
    profile = load_profile(written(without[0] + merged))
    assert load_settings(profile).batch_size == 4
    assert (profile.ingress.max_ongoing_requests, profile.ledger.max_ongoing_requests) == (7, 8)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00name: caf\xe9")
    assert refusal(path).startswith(f"{path}: is not YAML")


@pytest.mark.parametrize("content", ["- a\n- b\n", "just words", "", "7"])
def test_a_file_that_is_no_mapping_says_so(written: Write, content: str) -> None:
    path = written(content)
    assert refusal(path) == f"{path}: (whole file): expected a mapping"


def set_at(profile: dict[str, Any], path: str, value: Any) -> None:
    """Set ``a.0.b`` to ``value``, or remove the key for ``...``."""
    *steps, last = path.split(".")
    place: Any = profile
    for step in steps:
        place = place[int(step)] if step.isdecimal() else place.setdefault(step, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("famlies", [], "unknown key; did you mean families?"),
        ("name", ..., "Field required"),
        ("families", [], "at least 1 item"),
        ("families", ..., "Field required"),
        ("gpu_memory_gb", -1, "greater than 0 (got -1)"),
        ("families.0.name", "Big Family", "should match pattern"),
        ("families.0.deployment", "deployments.generation", "should match pattern"),
        ("families.0.routers", ["no colon"], "should match pattern"),
        ("families.0.models.0.name", "../up", "should match pattern"),
        ("families.0.models.0.name", "a/b/c", "should match pattern"),
        ("families.0.models.0.aliases", ["two words"], "should match pattern"),
        ("families.0.models.0.tasks", [], "at least 1 item"),
        ("families.0.models.0.engine", "vllm", "'torch' or 'openvino'"),
        ("families.0.models.0.dtype", "int4", "'auto', 'float32'"),
        ("families.0.models.0.quantization", "int4", "'none', 'int8' or 'nf4'"),
        ("families.0.models.0.window", 0, "greater than 0 (got 0)"),
        ("families.0.models.0.max_tokens", -5, "greater than 0 (got -5)"),
        ("families.0.models.0.forwards", 0, "greater than 0 (got 0)"),
        ("families.0.models.0.source", {"url": "x"}, "one of the keys hub, folder, wheel, package"),
        ("families.0.models.0.source", ..., "Field required"),
        ("families.0.models.0.sauce", 1, "unknown key; did you mean source?"),
        ("families.0.models.0.dtpye", 1, "unknown key; did you mean dtype?"),
        ("families.0.models.0.sources", {}, "unknown key; did you mean source?"),
        ("families.0.option", {}, "unknown key; did you mean options?"),
        ("families.0.options.user_config.max_batch", 3, "did you mean max_batch_size?"),
        ("families.0.options.max_ongoing_requests", "all", "valid integer"),
        ("families.0.options.ray_actor_options.num_cpus", -1, "greater than or equal to 0"),
        ("families.0.options.autoscaling_config.min_replicas", -1, "greater than or equal to 0"),
        ("families.0.options.autoscaling_config.max_replicas", 0, "greater than 0"),
        ("families.0.options.user_config.max_batch_size", 0, "greater than 0"),
        ("families.0.options.user_config.batch_wait_timeout_s", 60, "less than or equal to 10"),
        ("ingress.max_queued_requests", -2, "greater than or equal to -1"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key_with_what_was_expected(
    sound: dict[str, Any], written: Write, key: str, value: Any, expected: str
) -> None:
    set_at(sound, key, value)
    path = written(sound)
    message = refusal(path)
    assert message.startswith(f"{path}: {key}")
    assert expected in message
    assert value == [] or "at least 1 item" not in message


def test_a_bad_setting_in_a_profile_names_the_file_and_the_setting(
    sound: dict[str, Any], written: Write
) -> None:
    sound["settings"]["temperature"] = 3
    path = written(sound)
    message = refusal(path)
    assert message.startswith(str(path))
    assert "temperature: Input should be less than or equal to 2 (got 3)" in message


def test_a_broken_rule_names_the_file(sound: dict[str, Any], written: Write) -> None:
    sound["families"][0]["models"][0]["pinned"] = False
    path = written(sound)
    assert refusal(path) == (
        f"{path}: families.generation.models: expected at least one pinned model"
    )


def test_the_environment_is_part_of_what_is_checked(
    sound: dict[str, Any], written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRSM_HF_DEFAULT_EMBEDDING_MODEL", "no/such")
    assert "settings.default_embedding_model: expected" in refusal(written(sound))


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


def test_every_problem_is_one_line(sound: dict[str, Any], written: Write) -> None:
    sound["families"][0]["options"] = {"logging_config": {"log_level": "LOUD"}}
    sound["families"][0]["models"][0]["source"] = {"url": "x"}
    path = written(sound)
    lines = refusal(path).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}: families.0.") for line in lines)


def test_places_in_lists_come_with_the_names_that_are_there(
    sound: dict[str, Any], written: Write
) -> None:
    sound["families"][1]["models"][0]["dtpye"] = "float32"
    sound["families"][1]["deployment"] = "deployments.embeddings"
    path = written(sound)
    assert refusal(path).splitlines() == [
        f"{path}: families.1.deployment (embeddings): String should match pattern "
        r"'^[\w.]+:\w+$', as package.module:Name (got 'deployments.embeddings')",
        f"{path}: families.1.models.0.dtpye (embeddings, house/reader): unknown key; did you mean "
        "dtype?",
    ]


def test_every_pattern_of_a_profile_is_explained() -> None:
    def patterns(schema: Any) -> Iterator[str]:
        parts = schema.values() if isinstance(schema, dict) else schema
        if isinstance(schema, dict) and isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for part in parts:
            if isinstance(part, dict | list):
                yield from patterns(part)

    found = set(patterns(Profile.model_json_schema()))
    assert len(found) > 5
    assert found <= set(EXAMPLES)
