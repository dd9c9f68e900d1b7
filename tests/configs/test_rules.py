"""Rules: a sound profile keeps all of them, and each change breaks exactly one."""

from __future__ import annotations

from typing import Any

import pytest

from configs.gpu_memory import CUDA_CONTEXT_GB
from tests.configs.profile_changes import Change, broken, family, model, model_with, options


def scaling(**given: Any) -> Change:
    return options(autoscaling_config=given)


def ledgers(**given: Any) -> Change:
    return lambda content: content.update(ledger={"autoscaling_config": given})


def named(name: str) -> Change:
    return lambda content: family(content, 1).update(name=name)


def on_gpu(key: str) -> Change:
    return lambda content: content.update({key: {"ray_actor_options": {"num_gpus": 0.1}}})


def setting(name: str) -> Change:
    return lambda content: content["settings"].update({name: "no/such"})


def trusted_on_openvino(content: dict[str, Any]) -> None:
    content["trusted_models"] = ["house/reader"]
    model(content, 1).update(engine="openvino", trust_remote_code=True)


def test_a_sound_profile_breaks_no_rule(sound: dict[str, Any]) -> None:
    assert broken(sound) == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (model_with(1, name="house/writer"), "models.house/writer"),
        (model_with(1, aliases=["writer"]), "models.writer"),
        (model_with(0, aliases=["writer", "house/writer"]), "models.house/writer"),
        (lambda content: family(content, 1).update(name="generation"), "families.generation"),
        (named("ingress"), "families.ingress.name"),
        (named("ledger"), "families.ledger.name"),
        (
            lambda content: family(content, 1).update(name="generation_"),
            "families.generation_.name",
        ),
        (lambda content: content.update(ledger={"num_replicas": 2}), "ledger.num_replicas"),
        (on_gpu("ingress"), "ingress.ray_actor_options.num_gpus"),
        (on_gpu("ledger"), "ledger.ray_actor_options.num_gpus"),
        (lambda content: content.update(trusted_models=["house/reeder"]), "trusted_models"),
        (
            lambda content: content.update(ledger={"num_replicas": "auto"}),
            "ledger.num_replicas",
        ),
        (
            options(num_replicas="auto", max_ongoing_requests=2),
            "families.generation.options.autoscaling_config.target_ongoing_requests",
        ),
        (ledgers(max_replicas=2), "ledger.autoscaling_config.max_replicas"),
        (ledgers(min_replicas=0), "ledger.autoscaling_config.min_replicas"),
        (setting("default_text_model"), "settings.default_text_model"),
        (setting("default_generation_model"), "settings.default_generation_model"),
        (setting("default_embedding_model"), "settings.default_embedding_model"),
        (setting("default_classification_model"), "settings.default_classification_model"),
        (lambda content: content["settings"].update(hf_token="hf_x"), "settings.hf_token"),
        (
            scaling(min_replicas=1, max_replicas=2, initial_replicas=3),
            "families.generation.options.autoscaling_config.initial_replicas",
        ),
        (
            scaling(min_replicas=3, max_replicas=2),
            "families.generation.options.autoscaling_config.min_replicas",
        ),
        (
            scaling(target_ongoing_requests=64),
            "families.generation.options.autoscaling_config.target_ongoing_requests",
        ),
        (
            options(1, max_ongoing_requests=4, user_config={"max_batch_size": 5}),
            "families.embeddings.options.max_ongoing_requests",
        ),
        (
            options(user_config={"max_batch_size": 5}),
            "families.generation.options.user_config",
        ),
        (options(user_config={}), "families.generation.options.user_config"),
        (lambda content: content.update(ingress={"user_config": {}}), "ingress.user_config"),
        (lambda content: content.update(ledger={"user_config": {}}), "ledger.user_config"),
        (
            options(health_check_period_s=10, health_check_timeout_s=5),
            "families.generation.options.health_check_timeout_s",
        ),
        (
            options(ray_actor_options={"num_gpus": 1.5}),
            "families.generation.options.ray_actor_options.num_gpus",
        ),
        (
            lambda content: content.update(
                ingress={"autoscaling_config": {"min_replicas": 2, "max_replicas": 1}}
            ),
            "ingress.autoscaling_config.min_replicas",
        ),
        (
            model_with(trust_remote_code=True),
            "families.generation.models.house/writer.trust_remote_code",
        ),
        (
            model_with(engine="openvino", quantization="int8"),
            "families.generation.models.house/writer.quantization",
        ),
        (model_with(steps=4), "families.generation.models.house/writer.steps"),
        (
            model_with(1, tasks=["image_generate"], max_tokens=None, engine="openvino"),
            "families.embeddings.models.house/reader.engine",
        ),
        (
            model_with(1, tasks=["image_generate"], quantization="nf4"),
            "families.embeddings.models.house/reader.quantization",
        ),
        (
            lambda content: model(content, 1).update(
                tasks=["image_generate"], source={"hub": "a/b", "allow_bin": True}
            ),
            "families.embeddings.models.house/reader.source.allow_bin",
        ),
        (trusted_on_openvino, "families.embeddings.models.house/reader.engine"),
        (
            model_with(1, engine="openvino", dtype="float16"),
            "families.embeddings.models.house/reader.dtype",
        ),
        (model_with(dtype="dynamic-int8"), "families.generation.models.house/writer.dtype"),
        (
            model_with(engine="openvino", dtype="float16"),
            "families.generation.models.house/writer.dtype",
        ),
        (
            model_with(1, engine="openvino", tasks=["summarize"]),
            "families.embeddings.models.house/reader.engine",
        ),
        (
            model_with(engine="openvino", tasks=["generate", "chat"], reads_images=True),
            "families.generation.models.house/writer.reads_images",
        ),
        (
            model_with(1, reads_images=True),
            "families.embeddings.models.house/reader.reads_images",
        ),
        (model_with(forwards=2), "families.generation.models.house/writer.forwards"),
        (
            model_with(1, engine="torch", forwards=2),
            "families.embeddings.models.house/reader.forwards",
        ),
        *(
            (model_with(1, **{name: 2}), f"families.embeddings.models.house/reader.{name}")
            for name in ("slots", "kv_cache_gb", "window", "prefill_tokens")
        ),
        (model_with(pinned=False), "families.generation.models"),
        (lambda content: content.update(gpu_memory_gb=None), "gpu_memory_gb"),
        (model_with(1, memory_gb=None), "families.embeddings.models.house/reader.memory_gb"),
        (model_with(1, memory_gb=12), "families.embeddings.options.ray_actor_options.num_gpus"),
    ],
)
def test_each_rule_names_the_key_that_breaks_it(
    sound: dict[str, Any], change: Change, key: str
) -> None:
    change(sound)
    problems = broken(sound)
    assert [problem.partition(": expected")[0] for problem in problems] == [key]


def test_all_that_is_broken_is_told_at_once(sound: dict[str, Any]) -> None:
    model_with(pinned=False)(sound)
    model_with(1, aliases=["writer"])(sound)
    assert len(broken(sound)) == 2


@pytest.mark.parametrize(
    "change",
    [
        setting("default_text_model"),
        lambda content: content["settings"].update(default_embedding_model="house/writer"),
    ],
)
def test_a_default_model_is_one_of_its_own_family(sound: dict[str, Any], change: Change) -> None:
    change(sound)
    (problem,) = broken(sound)
    assert "(house/writer, writer)" in problem or "(house/reader)" in problem


@pytest.mark.parametrize("name", ["house/writer", "writer"])
def test_a_default_model_may_be_named_by_name_or_alias(sound: dict[str, Any], name: str) -> None:
    sound["settings"]["default_text_model"] = name
    assert broken(sound) == []


def test_remote_code_of_a_trusted_model_may_run(sound: dict[str, Any]) -> None:
    sound["trusted_models"] = ["house/writer"]
    model_with(trust_remote_code=True)(sound)
    assert broken(sound) == []


def test_a_value_equal_to_a_limit_is_allowed(sound: dict[str, Any]) -> None:
    family(sound)["options"] = {
        "autoscaling_config": {"min_replicas": 2, "max_replicas": 2, "target_ongoing_requests": 4},
        "max_ongoing_requests": 5,
        "health_check_period_s": 5,
        "health_check_timeout_s": 5,
        "ray_actor_options": {"num_gpus": 2},
    }
    family(sound, 1)["options"] |= {
        "max_ongoing_requests": 5,
        "user_config": {"max_batch_size": 5},
    }
    model_with(1, memory_gb=12 - CUDA_CONTEXT_GB)(sound)
    assert broken(sound) == []


def test_a_misspelt_default_model_comes_with_the_right_one(sound: dict[str, Any]) -> None:
    sound["settings"]["default_embedding_model"] = "house/raeder"
    (problem,) = broken(sound)
    assert problem.endswith("got 'house/raeder'; did you mean house/reader?")


def test_a_family_has_a_pinned_model_or_may_sleep_or_models_are_loaded_by_name(
    sound: dict[str, Any],
) -> None:
    empty = {**family(sound, 1), "name": "other", "models": []}
    sound["families"].append(empty)
    assert broken(sound) == ["families.other.models: expected at least one pinned model"]
    sleeping = {"autoscaling_config": {"min_replicas": 0}}
    sound["families"][-1] = {**empty, "options": sleeping}
    assert broken(sound) == []
    sound["families"][-1] = empty
    sound["allow"] = [{"hub": "my-org/*"}]
    assert broken(sound) == []
