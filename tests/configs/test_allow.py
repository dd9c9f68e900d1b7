"""The allow-list: which names it matches, and where their weights may come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from configs.allow import AllowList, AllowRule, FolderRule, HubRule
from configs.weights import PROFILE_FOLDER, FolderSource, HubSource
from tests.configs.refusals import refusal

RULES: TypeAdapter[HubRule | FolderRule] = TypeAdapter(AllowRule)


def rule(**given: Any) -> HubRule | FolderRule:
    return RULES.validate_python(given)


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("my-org/*", "my-org/model", True),
        ("my-org/*", "my-org", False),
        ("my-org/*", "other/model", False),
        ("my-org/bert-*", "my-org/bert-tiny", True),
        ("my-org/model", "my-org/model", True),
        ("*/*", "any/model", True),
        ("*", "gpt2", True),
        ("*", "any/model", False),
        ("my-org/*", "my-org/..", False),
        ("my-org/*", "my-org/.hidden", False),
        ("my-org/*", "my-org/a/b", False),
        ("my-org/*", "my-org/a b", False),
        ("my-org/*", "my-org/b²", False),
        ("my-org/*", "my-org/" + "a" * 200, False),
    ],
)
def test_a_hub_rule_allows_repositories_that_its_pattern_matches(
    pattern: str, name: str, allowed: bool
) -> None:
    found = AllowList([HubRule(hub=pattern)]).sources(name)
    assert [each.source for each in found] == ([HubSource(hub=name)] if allowed else [])


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("model", True), ("org/model", False), ("..", False), ("../x", False), ("/etc", False)],
)
def test_a_folder_rule_allows_folders_right_below_its_own(name: str, allowed: bool) -> None:
    found = AllowList([FolderRule(folder=Path("/models/*"))]).sources(name)
    folders = [each.source for each in found]
    assert folders == ([FolderSource(folder=Path("/models", name))] if allowed else [])


def test_the_folder_of_the_settings_has_models_and_owners_of_models() -> None:
    allowed = AllowList((), Path("/models"))
    (model,) = allowed.sources("model")
    (owned,) = allowed.sources("org/model")
    assert model.source == FolderSource(folder=Path("/models/model"))
    assert owned.source == FolderSource(folder=Path("/models/org/model"))
    assert all("/models" not in shown for shown in allowed.shown)


def test_without_rules_nothing_is_allowed() -> None:
    assert not AllowList()
    assert AllowList().sources("any/model") == []


def test_a_relative_folder_begins_at_the_folder_of_the_profile(tmp_path: Path) -> None:
    made = RULES.validate_python({"folder": "here/*"}, context={PROFILE_FOLDER: tmp_path})
    assert isinstance(made, FolderRule)
    assert made.base == tmp_path / "here"


@pytest.mark.parametrize("folder", ["/models/../etc/*", "/models/*/*/*"])
def test_a_folder_rule_that_leads_elsewhere_or_too_deep_is_refused(folder: str) -> None:
    with pytest.raises(ValidationError, match="expected"):
        rule(folder=folder)


@pytest.mark.parametrize(
    ("given", "source", "allowed"),
    [
        ({"hub": "a/*"}, {"hub": "a/b", "revision": "any"}, True),
        ({"hub": "a/*", "revision": "v1"}, {"hub": "a/b", "revision": "v1"}, True),
        ({"hub": "a/*", "revision": "v1"}, {"hub": "a/b", "revision": "v2"}, False),
        ({"hub": "a/*"}, {"hub": "a/b", "allow_bin": True}, False),
        ({"hub": "a/*", "allow_bin": True}, {"hub": "a/b", "allow_bin": True}, True),
        ({"hub": "a/*"}, {"hub": "a/b", "path": "onnx"}, False),
    ],
)
def test_weights_come_only_from_where_a_rule_allows(
    given: dict[str, Any], source: dict[str, Any], allowed: bool
) -> None:
    found = AllowList([rule(**given)]).rule_for(HubSource(**source))
    assert (found is not None) == allowed


def test_code_of_a_model_needs_a_rule_that_trusts_it() -> None:
    source = HubSource(hub="a/b")
    plain, trusting = rule(hub="a/*"), rule(hub="a/b", trust_remote_code=True)
    assert AllowList([plain]).rule_for(source, trust_remote_code=True) is None
    assert AllowList([plain, trusting]).rule_for(source, trust_remote_code=True) == trusting


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"hub": "a/*", "family": "generations"}, "did you mean generation"),
        ({"hub": "a/*", "trust_remote_code": True}, "names one model, without *"),
        ({"folder": "/no/such/folder/*"}, "below a folder that is there"),
        ({"hub": "a/*", "engine": "openvino", "quantization": "int8"}, "quantization: expected"),
        ({"url": "x"}, "one of the keys hub, folder"),
        ({"hub": "a/b/c"}, "where * stands for any part"),
        ({"hub": "a/*", "max_gb": 0}, "greater than 0"),
    ],
)
def test_a_mistake_in_a_rule_is_named(
    sound: dict[str, Any],
    written: Callable[[dict[str, Any]], Path],
    given: dict[str, Any],
    expected: str,
) -> None:
    sound["allow"] = [given]
    message = refusal(written(sound))
    assert "allow.0" in message
    assert expected in message


def test_the_folder_of_the_settings_has_to_be_there_on_one_node(
    sound: dict[str, Any], written: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    sound["settings"]["models_folder"] = str(tmp_path / "missing")
    assert "settings.models_folder: expected a folder" in refusal(written(sound))
