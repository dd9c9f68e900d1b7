"""Errors and representations of what is configured do not repeat secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError
from configs.settings import Settings, resolve
from serve_app.ingress.front.keys import KeyFile

SECRET = "pw-secret-7d1f"


@pytest.mark.parametrize("name", ["conversations_url", "keys_url", "hf_token"])
@pytest.mark.parametrize("value", [[SECRET], {"a": SECRET}])
def test_a_secret_of_the_wrong_type_is_not_in_the_error(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name) as failed:
        resolve({name: value}, "a.yaml")
    assert SECRET not in str(failed.value)


@pytest.mark.parametrize("name", ["conversations_url", "keys_url"])
@pytest.mark.parametrize(
    "url", [f"postgresql://ada:{SECRET}@db:port/x", f"mysql://ada:{SECRET}@db/x", SECRET]
)
def test_the_password_of_a_wrong_database_is_not_in_the_error(name: str, url: str) -> None:
    with pytest.raises(ConfigError, match=name) as failed:
        resolve({name: url}, "a.yaml")
    assert SECRET not in str(failed.value)


@pytest.mark.parametrize("line", [SECRET, f"ada:{SECRET}", f"ada:{SECRET}:admin"])
def test_a_key_that_stands_in_its_file_unhashed_is_not_in_the_error(
    line: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{line}\n")
    with pytest.raises(ConfigError, match="line 1") as failed:
        KeyFile(file)
    assert SECRET not in str(failed.value)


def test_settings_show_no_secret() -> None:
    url = f"postgresql://ada:{SECRET}@db/x"
    values = {"hf_token": SECRET, "conversations_url": url, "keys_url": url}
    settings = resolve(values, "a.yaml")
    assert isinstance(settings, Settings)
    assert settings.token == SECRET
    shown = (repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}")
    assert not [each for each in shown if SECRET in each]
    for database in (settings.conversations_database, settings.keys_database):
        assert SECRET not in f"{database} {database!r}"
