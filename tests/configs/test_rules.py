"""Rules: a sound profile keeps all of them, and each change breaks exactly one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.gpu_memory import CUDA_CONTEXT_GB
from configs.profile import Profile, load_settings
from configs.rules import broken_rules

Change = Callable[[dict[str, Any]], None]


def broken(content: dict[str, Any]) -> list[str]:
    profile = Profile.model_validate(content)
    return broken_rules(profile, load_settings(profile))


def family(content: dict[str, Any], index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = content["families"][index]
    return found


def model(content: dict[str, Any], index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = family(content, index)["models"][0]
    return found


def options(index: int = 0, **given: Any) -> Change:
    return lambda content: family(content, index).update(options=given)


def scaling(**given: Any) -> Change:
    return options(autoscaling_config=given)


def model_with(index: int = 0, **given: Any) -> Change:
    return lambda content: model(content, index).update(given)


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


CONVERSATIONS = "serve_app.ingress.routes.conversations:router"
POSTGRES = "postgresql://house@db.example/conversations"


def test_one_node_may_keep_conversations_in_a_file(sound: dict[str, Any]) -> None:
    family(sound)["routers"] = [CONVERSATIONS]
    assert broken(sound) == []


@pytest.mark.parametrize("url", [None, "sqlite:////srv/conversations.sqlite3"])
def test_many_nodes_may_not_keep_conversations_in_a_file(
    sound: dict[str, Any], url: str | None
) -> None:
    """Also with one replica of the ingress, which may restart on another node."""
    sound["nodes"] = "many"
    sound["settings"]["conversations_url"] = url
    assert broken(sound) == []  # no route that keeps any
    family(sound)["routers"] = [CONVERSATIONS]
    (problem,) = broken(sound)
    assert problem.startswith("settings.conversations_url: expected a PostgreSQL database")


def test_many_nodes_share_a_postgresql_database(
    sound: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound["nodes"] = "many"
    family(sound)["routers"] = [CONVERSATIONS]
    monkeypatch.setenv("PRSM_HF_CONVERSATIONS_URL", POSTGRES)
    assert broken(sound) == []


def test_the_databases_password_is_in_no_file(sound: dict[str, Any]) -> None:
    sound["settings"]["conversations_url"] = POSTGRES
    assert broken(sound) == []
    sound["settings"]["conversations_url"] = POSTGRES.replace("house@", "house:secret@")
    (problem,) = broken(sound)
    assert problem.startswith("settings.conversations_url: expected its password in the env")
    assert "secret" not in problem


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


def test_models_on_demand_make_room_for_each_other_but_pinned_ones_do_not(
    sound: dict[str, Any],
) -> None:
    beside = 12 - CUDA_CONTEXT_GB - model(sound, 1)["memory_gb"]
    for name in ("house/spare", "house/other"):
        spare = {**model(sound, 1), "name": name, "pinned": False, "memory_gb": beside}
        family(sound, 1)["models"].append(spare)
    assert broken(sound) == []
    spare["memory_gb"] = beside + 0.1
    (problem,) = broken(sound)
    assert problem.startswith("families.embeddings.models.house/other: expected to fit beside")
    assert "they take 2.0 GB, and 0.5 of 24 GB is 12.0 GB" in problem


def test_a_model_on_demand_that_never_fits_is_told(sound: dict[str, Any]) -> None:
    spare = {**model(sound, 1), "name": "house/spare", "pinned": False, "memory_gb": 11.6}
    family(sound, 1)["models"].append(spare)
    (problem,) = broken(sound)
    assert problem.startswith("families.embeddings.models.house/spare: expected to fit")
    assert "it takes 12.1 GB and 0.5 of 24 GB is 12.0 GB" in problem


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_more_gpus_hold_no_larger_model(sound: dict[str, Any], gpus: int) -> None:
    family(sound, 1)["options"] = {"ray_actor_options": {"num_gpus": gpus}}
    model_with(1, memory_gb=24 - CUDA_CONTEXT_GB)(sound)
    assert broken(sound) == []
    model_with(1, memory_gb=24)(sound)
    (problem,) = broken(sound)
    assert "expected room for 24.5 GB of pinned models, but 1 of 24 GB is 24.0 GB" in problem
    assert ("a model lives on one GPU" in problem) is (gpus > 1)


def test_every_pinned_model_of_a_family_takes_room(sound: dict[str, Any]) -> None:
    family(sound, 1)["models"].append({**model(sound, 1), "name": "house/second", "memory_gb": 9.6})
    (problem,) = broken(sound)
    assert "expected room for 12.1 GB" in problem
    assert "0.5 of 24 GB is 12.0 GB" in problem


def test_replicas_that_share_a_gpu_fit_its_memory(sound: dict[str, Any]) -> None:
    """Ray puts replicas on one GPU as long as their fractions add up to at most 1."""
    draw = random.Random(7)
    verdicts = set()
    for _ in range(300):
        share = draw.choice([0.1, 0.25, 0.5, 0.75, 0.9])
        memories = [draw.uniform(0.1, 24), draw.uniform(0.1, 24)]
        for index, fraction in enumerate((share, 1 - share)):
            actor = {"num_gpus": fraction}
            family(sound, index)["options"] = {"ray_actor_options": actor}
            model_with(index, memory_gb=memories[index])(sound)
        accepted = not broken(sound)
        verdicts.add(accepted)
        assert not accepted or sum(memories) + 2 * CUDA_CONTEXT_GB <= 24
    assert verdicts == {True, False}


@pytest.mark.parametrize("revision", [None, "main", "Master", "refs/pr/1"])
def test_many_nodes_need_a_revision_that_is_a_commit(
    sound: dict[str, Any], revision: str | None
) -> None:
    """Each node pins the revision that it fetches first, so nodes could serve different weights."""
    source = {"hub": "house/writer", **({"revision": revision} if revision else {})}
    model_with(source=source)(sound)
    assert broken(sound) == []
    sound["nodes"] = "many"
    (problem,) = broken(sound)
    assert problem.startswith("families.generation.models.house/writer.source.revision: expected")
    model_with(source=source | {"revision": "3f9c1e2"})(sound)
    assert broken(sound) == []


def test_a_folder_that_is_not_there_is_told_where_there_is_one_machine(
    sound: dict[str, Any], tmp_path: Path
) -> None:
    model_with(source={"folder": str(tmp_path / "nosuch")})(sound)
    (problem,) = broken(sound)
    assert problem.startswith("families.generation.models.house/writer.source: ")
    assert f"{tmp_path / 'nosuch'} is not a folder" in problem
    sound["nodes"] = "many"  # it may be on the others, and need not be here
    assert broken(sound) == []


def test_a_folder_without_weights_is_told(sound: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    model_with(source={"folder": str(tmp_path)})(sound)
    (problem,) = broken(sound)
    assert "has no weights: expected *.safetensors in it" in problem
    (tmp_path / "pytorch_model.bin").touch()
    (problem,) = broken(sound)
    assert "allow_bin: true" in problem


@pytest.mark.parametrize("package", ["no_such_package", "configs.shapes"])
def test_a_folder_of_a_package_is_told_too(sound: dict[str, Any], package: str) -> None:
    model_with(source={"package": package, "path": "nosuch"})(sound)
    (problem,) = broken(sound)
    assert problem.startswith("families.generation.models.house/writer.source: ")


def test_a_chat_template_that_is_not_there_is_told(sound: dict[str, Any], tmp_path: Path) -> None:
    model_with(chat_template=str(tmp_path / "chat.jinja"))(sound)
    (problem,) = broken(sound)
    assert problem.startswith("families.generation.models.house/writer.chat_template: expected")
    (tmp_path / "chat.jinja").touch()
    assert broken(sound) == []


@pytest.mark.parametrize("as_file", [True, False])
def test_a_chat_template_that_is_no_jinja_is_told_with_its_line(
    sound: dict[str, Any], tmp_path: Path, as_file: bool
) -> None:
    text = "{% for message in messages %}\n{{ message.content }\n{% endfor %}"
    (tmp_path / "chat.jinja").write_text(text)
    model_with(chat_template=str(tmp_path / "chat.jinja") if as_file else text)(sound)
    (problem,) = broken(sound)
    key = "families.generation.models.house/writer.chat_template"
    assert problem.startswith(f"{key}: expected a Jinja template, but line 2: ")


def test_the_tags_of_chat_templates_are_known(sound: dict[str, Any]) -> None:
    text = "{% for m in messages %}{% if m.skip %}{% continue %}{% endif %}"
    text += "{%- generation -%}{{ m.content }}{%- endgeneration -%}{% endfor %}"
    model_with(chat_template=text)(sound)
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
