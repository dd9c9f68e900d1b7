"""`prsm-serve keys`: prints a key once, and afterwards neither it nor its hash."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from serve_app.launcher.key_commands import keys


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "keys.sqlite3"
    monkeypatch.setenv("PRSM_HF_KEYS_URL", f"sqlite:///{file}")
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments)


def made(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(made("list", "--json"))
    return found


def test_a_key_is_printed_once_with_its_terms_in_the_list() -> None:
    key = made(
        *("create", "ada", "--scopes", "inference,admin", "--families", "embeddings, reranking"),
        *("--rpm", "60", "--tpm", "9000", "--weight", "2.5", "--expires", "30d"),
    )
    (entry,) = listed()
    assert key.startswith("prsm_")
    assert entry["scopes"] == ["admin", "inference"]
    assert entry["families"] == ["embeddings", "reranking"]
    assert (entry["requests_per_minute"], entry["tokens_per_minute"]) == (60, 9000)
    assert (entry["weight"], entry["state"], entry["used"]) == (2.5, "valid", None)
    assert entry["expires"] > entry["created"]
    for text in (made("list"), made("list", "--json")):
        assert "ada" in text
        assert key not in text
        assert hashlib.sha256(key.encode()).hexdigest() not in text


def test_a_key_is_rotated_and_revoked() -> None:
    first = made("create", "ada")
    second = made("rotate", "ada", "--grace", "2h")
    assert first != second
    assert [each["state"] for each in listed()] == ["valid", "valid"]
    made("revoke", "ada")
    assert [each["state"] for each in listed()] == ["revoked", "revoked"]
    assert "no key ada" in run("revoke", "ada").stderr
    assert "no key ada" in run("rotate", "ada").stderr


def test_keys_of_the_file_are_listed_and_their_names_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"sk").hexdigest()
    (tmp_path / "keys").write_text(f"ada:{digest}:admin\n")
    monkeypatch.setenv("PRSM_HF_API_KEYS_FILE", str(tmp_path / "keys"))
    (entry,) = listed()
    assert (entry["name"], entry["state"], entry["scopes"]) == ("ada", "file", ["admin"])
    assert digest not in made("list")
    assert "the file of API keys has a key of this name" in run("create", "ada").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "a b"), "expected a name"),
        (("create", "ada", "--scopes", "root"), "'root' is no scope"),
        (("create", "ada", "--scopes", ","), "at least one scope"),
        (("create", "ada", "--families", "embedding"), "'embedding' is no family; there are:"),
        (("create", "ada", "--expires", "30"), "a number with a unit"),
        (("create", "ada", "--rpm", "0"), "0 is not in the range"),
        (("create", "ada", "--weight", "nan"), "weight"),
    ],
)
def test_what_is_wrong_is_refused_and_makes_no_key(
    arguments: tuple[str, ...], said: str, database: Path
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert not database.exists()


def test_without_a_database_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRSM_HF_KEYS_URL")
    assert "PRSM_HF_KEYS_URL" in run("list").stderr


def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRSM_HF_KEYS_URL", "postgresql://ada:s3cret@127.0.0.1:1/keys")
    result = run("list")
    assert result.exit_code == 2
    assert "the database of API keys" in result.stderr
    assert "s3cret" not in result.output
    assert logging.getLogger("serve_app").isEnabledFor(logging.ERROR), "of this process, as before"
