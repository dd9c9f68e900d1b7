import os
from pathlib import Path

import pytest

from serve_app.launcher import runs
from serve_app.launcher.auth import TOKEN
from serve_app.launcher.target import DEFAULT_URL, status_target


def test_the_newest_start_of_this_machine_is_asked_with_its_token(tmp_path: Path) -> None:
    own = runs.create(tmp_path)
    token = own.run.path / "token"
    token.write_text("secret")
    own.update(dashboard_url="http://127.0.0.1:8270", token_path=str(token))
    assert status_target(None, {}, tmp_path) == ("http://127.0.0.1:8270", "secret")
    assert status_target("127.0.0.1:8270", {}, tmp_path) == ("http://127.0.0.1:8270", "secret")
    own.remove()


def test_a_given_address_is_asked_with_the_environments_token(tmp_path: Path) -> None:
    assert status_target("head:8265/", {TOKEN: "t"}, tmp_path) == ("http://head:8265", "t")


def test_without_a_start_rays_own_default_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert status_target(None, os.environ, tmp_path)[0] == DEFAULT_URL
