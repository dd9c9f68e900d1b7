"""Wrong profiles: each message names the file, the key and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.errors import EXAMPLES
from configs.profile import Profile
from tests.configs.refusals import refusal

Write = Callable[[Any], Path]


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
