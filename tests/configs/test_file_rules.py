"""Rules about files that a profile names: weights, revisions of weights, chat templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.configs.profile_changes import broken, model_with


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
