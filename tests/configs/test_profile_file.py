"""Files of profiles: where they are found, and what is said of one that is no profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.profile import load_settings
from configs.profile_file import load_profile, profile_path
from tests.configs.refusals import refusal

Write = Callable[[Any], Path]


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
