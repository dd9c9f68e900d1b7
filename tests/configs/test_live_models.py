"""How a model that was found is served: family, engine, limits, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.allow import AllowedSource, AllowList, FolderRule, HubRule
from configs.detection import DetectedModel, kinds
from configs.detection.kinds import (
    ANY_LABELS,
    EMBEDDER,
    GENERATOR,
    IMAGE_WRITER,
    SUMMARIZER,
    TOPIC,
    VISION_LANGUAGE,
)
from configs.live_models import (
    LiveModel,
    LiveModelError,
    LiveOptions,
    families_for,
    live_model,
)
from configs.profile import Profile
from configs.weights import FolderSource, HubSource
from tests.serve_app.house import profile

FOUND = DetectedModel("LlamaForCausalLM", (GENERATOR,), "safetensors", 10, window=100_000)
VECTORS = DetectedModel("BertModel", (EMBEDDER,), "safetensors", 10, window=512, max_tokens=256)
LABELS = DetectedModel(
    "BertForSequenceClassification", (ANY_LABELS, TOPIC), "safetensors", 10, window=512
)

SEEING = (VISION_LANGUAGE, IMAGE_WRITER)


def in_folder(**limits: Any) -> AllowedSource:
    rule = FolderRule(folder=Path("/models/*"), **limits)
    return AllowedSource(rule, FolderSource(folder=Path("/models/new")))


def made(found: DetectedModel = FOUND, task: str | None = None, **limits: Any) -> LiveModel:
    return live_model("new", in_folder(**limits), found, profile(), LiveOptions(task))


def test_a_text_generator_goes_to_the_first_family_of_its_class() -> None:
    model = made()
    assert (model.family, model.spec.tasks) == ("generation", ("generate", "chat"))
    assert (model.spec.engine, model.spec.window) == ("torch", 8192)


def test_what_may_serve_a_model_is_known_before_it_is_inspected() -> None:
    own = ["generation", "embeddings", "classification"]
    assert families_for(in_folder(), profile()) == own
    assert families_for(in_folder(), profile(), {"embed"}) == ["embeddings"]
    assert families_for(in_folder(), profile(), {"topic", "chat"}) == [own[0], own[2]]
    assert families_for(in_folder(), profile(), {"rerank"}) == []
    assert families_for(in_folder(family="mine"), profile(), {"rerank"}) == ["mine"]


def test_every_kind_of_model_is_among_all_kinds() -> None:
    named = vars(kinds).values()
    listed = {each for each in named if isinstance(each, kinds.ModelKind)}
    tables = (each.values() for each in named if isinstance(each, dict))
    listed |= {each for table in tables for each in table if isinstance(each, kinds.ModelKind)}
    assert listed == kinds.KINDS


def test_limits_are_those_of_the_rule_and_of_the_files() -> None:
    assert made(max_window=512, kv_cache_gb=0.5).spec.window == 512
    assert made(max_window=512, kv_cache_gb=0.5).spec.kv_cache_gb == 0.5
    assert made(VECTORS).spec.max_tokens == 256


def test_a_gguf_file_is_converted_for_its_engine() -> None:
    found = DetectedModel("GGUF llama", (GENERATOR,), "gguf", 10, window=2048)
    quick, torch = made(found).spec, made(found, engine="torch").spec
    assert quick.source.convert is not None
    assert torch.source.convert is not None
    assert (quick.source.convert.recipe, quick.dtype) == ("gguf-tokenizer", "float32")
    assert (torch.source.convert.recipe, torch.dtype) == ("gguf-safetensors", "auto")


def test_a_repository_stays_at_the_commit_that_was_inspected() -> None:
    found = DetectedModel("BertModel", (EMBEDDER,), "safetensors", 10, revision="abc")
    allowed = AllowedSource(HubRule(hub="a/*"), HubSource(hub="a/b"))
    model = live_model("a/b", allowed, found, profile())
    assert model.spec.source == HubSource(hub="a/b", revision="abc")


@pytest.mark.parametrize("revision", [None, "v1.2"])
def test_a_model_of_a_branch_or_tag_is_still_allowed_at_its_commit(revision: str | None) -> None:
    found = DetectedModel("BertModel", (EMBEDDER,), "safetensors", 10, revision="abc")
    rules = AllowList([HubRule(hub="a/*", revision=revision)])
    (allowed,) = rules.sources("a/b")
    model = live_model("a/b", allowed, found, profile())
    assert model.spec.source == HubSource(hub="a/b", revision="abc")
    assert LiveModel.from_json(model.to_json()) == model
    assert model.is_allowed(rules)
    assert not model.is_allowed(AllowList([HubRule(hub="a/*", revision="v2")]))


def test_an_order_may_choose_between_the_tasks_that_a_model_can_do() -> None:
    assert made(LABELS).spec.tasks == ("sentiment", "topic")
    assert made(LABELS, "topic").spec.tasks == ("topic",)


@pytest.mark.parametrize(
    ("found", "options", "limits", "message", "field"),
    [
        (LABELS, {"task": "embed"}, {}, "which does sentiment, topic", "task"),
        (FOUND, {"dtype": "dynamic-int8"}, {}, "dtype: expected", "dtype"),
        (FOUND, {"quantization": "int8"}, {"engine": "openvino"}, "quantization:", "quantization"),
    ],
)
def test_a_wish_that_cannot_be_granted_names_its_field(
    found: DetectedModel,
    options: dict[str, Any],
    limits: dict[str, Any],
    message: str,
    field: str,
) -> None:
    with pytest.raises(LiveModelError, match=message) as error:
        live_model("new", in_folder(**limits), found, profile(), LiveOptions(**options))
    assert error.value.field == field


@pytest.mark.parametrize(
    ("name", "max_tokens", "field"), [("a b", 256, "name"), ("new", -1, "max_tokens")]
)
def test_what_no_profile_could_say_is_refused(name: str, max_tokens: int, field: str) -> None:
    found = replace(VECTORS, max_tokens=max_tokens)
    with pytest.raises(LiveModelError, match=field) as error:
        live_model(name, in_folder(), found, profile())
    assert error.value.field == field


def test_a_model_whose_family_is_not_in_the_profile_is_refused() -> None:
    found = DetectedModel("T5ForConditionalGeneration", (SUMMARIZER,), "safetensors", 10)
    with pytest.raises(LiveModelError, match="the profile has no family of"):
        made(found)


def test_the_rule_may_name_the_family() -> None:
    content = profile().model_dump(mode="json")
    content["families"].append({**content["families"][1], "name": "other", "models": []})
    two = Profile.model_validate(content)
    model = live_model("new", in_folder(family="other"), VECTORS, two)
    assert model.family == "other"


def test_a_vision_language_model_chats_unless_the_rule_or_the_order_says_otherwise() -> None:
    found = DetectedModel("LlavaForConditionalGeneration", SEEING, "safetensors", 10, window=64)
    assert made(found).spec.reads_images
    assert made(found, family="generation").spec.tasks == ("generate", "chat")
    content = profile().model_dump(mode="json")
    captions = {"name": "captioning", "deployment": IMAGE_WRITER.deployment}
    content["families"].append(content["families"][1] | {"models": []} | captions)
    both = Profile.model_validate(content)
    for limits, task in (({"family": "captioning"}, None), ({}, "caption")):
        model = live_model("new", in_folder(**limits), found, both, LiveOptions(task))
        assert (model.family, model.spec.reads_images) == ("captioning", False)


def test_a_family_that_does_not_serve_the_kind_of_model_is_refused() -> None:
    with pytest.raises(LiveModelError, match="for embed; generation does not serve that"):
        live_model("new", in_folder(family="generation"), VECTORS, profile())


def test_a_model_is_the_same_after_it_was_stored() -> None:
    model = made(kv_cache_gb=0.5)
    assert LiveModel.from_json(model.to_json()) == model


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"family": "x", "spec": {}, "added": 1}'])
def test_what_another_version_stored_is_left_out(text: bytes) -> None:
    assert LiveModel.from_json(text) is None


def test_a_stored_model_is_dropped_when_the_rules_no_longer_allow_it() -> None:
    model = made()
    assert model.is_allowed(AllowList([FolderRule(folder=Path("/models/*"))]))
    assert not model.is_allowed(AllowList([FolderRule(folder=Path("/others/*"))]))
