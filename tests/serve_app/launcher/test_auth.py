import stat
from pathlib import Path

import pytest

from serve_app.launcher.auth import (
    MODE,
    TOKEN,
    TOKEN_PATH,
    TokenFileError,
    read_token,
    require_private_token,
    token_environment,
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_without_a_token_a_start_makes_its_own_that_only_its_user_can_read(tmp_path: Path) -> None:
    environment = token_environment({}, tmp_path)
    path = Path(environment[TOKEN_PATH])
    assert environment[MODE] == "token"
    assert path.parent == tmp_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(read_token(environment) or "") == 64


def test_the_users_own_token_is_used_when_there_is_one(tmp_path: Path, home: Path) -> None:
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("mine\n")
    environment = token_environment({}, tmp_path)
    assert read_token(environment) == "mine"
    assert not (tmp_path / "token").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_a_users_token_that_others_may_know_is_refused(home: Path, mode: int) -> None:
    require_private_token({})  # there is none, and a start makes its own
    path = home / ".ray" / "auth_token"
    path.parent.mkdir(parents=True)
    path.write_text("mine\n")
    path.chmod(mode)
    with pytest.raises(TokenFileError, match=rf"mode {mode:04o}\): chmod 600 {path}"):
        require_private_token({})
    require_private_token({TOKEN: "another"})  # it is not used then
    path.chmod(0o600)
    require_private_token({})


def test_a_token_of_another_user_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / ".ray" / "auth_token"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    monkeypatch.setattr("os.getuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(TokenFileError, match="belongs to another user"):
        require_private_token({})


@pytest.mark.parametrize("name", [MODE, TOKEN, TOKEN_PATH])
def test_a_users_own_settings_about_tokens_win(tmp_path: Path, name: str) -> None:
    assert token_environment({name: "anything"}, tmp_path) == {}


def test_a_client_reads_the_token_in_rays_order(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("from a file")
    assert read_token({TOKEN: "direct", TOKEN_PATH: str(path)}) == "direct"
    assert read_token({TOKEN_PATH: str(path)}) == "from a file"
    assert read_token({MODE: "disabled", TOKEN: "direct"}) is None
    assert read_token({}) is None
