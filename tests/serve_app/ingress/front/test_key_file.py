"""The file of API keys: what it may hold, and that it may change while the service runs."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from configs.errors import ConfigError
from serve_app.ingress.front import keys
from serve_app.ingress.front.keys import MAX_FILE_BYTES, KeyFile, read_keys
from tests.serve_app.ingress.front.fronting import by, fronted, keys_in

HASH = hashlib.sha256(b"sk").hexdigest()


def test_lines_are_names_hashes_and_scopes(tmp_path: Path) -> None:
    lines = f"# a comment\n\n  a.b-c_1 : {HASH}\n"
    file = tmp_path / "keys"
    file.write_text(lines.replace(" : ", ":") + f"x:{'A' * 64}: admin , inference \n")
    found = {key.name: (key.digest, sorted(key.scopes)) for key in read_keys(file).values()}
    assert found == {
        "a.b-c_1": (HASH, ["inference"]),
        "x": ("a" * 64, ["admin", "inference"]),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no key in it"),
        (b"# nobody\n", "no key in it"),
        (b"ada\n", "line 1: expected name:sha256"),
        (f"\nada:{HASH[:-1]}\n".encode(), "line 2: expected name:sha256"),
        (f"two words:{HASH}\n".encode(), "line 1: expected"),
        (f":{HASH}\n".encode(), "line 1: expected"),
        (f"ada:{HASH}:root\n".encode(), "'root' is no scope; there are: admin, inference"),
        (f"ada:{HASH}:admin,\n".encode(), "'' is no scope"),
        (f"ada:{HASH}\nada:{'0' * 64}\n".encode(), "line 2: the name ada is there twice"),
        (f"ada:{HASH}\nbob:{HASH}\n".encode(), "line 2: bob has the same hash as ada"),
        (b"\xff\xfe\n", "not text in UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "is larger than"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        KeyFile(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KeyFile(tmp_path / "none")


def test_a_key_is_not_repeated_in_a_complaint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyFile(keys_in(tmp_path, "ada:sk-in-the-clear"))
    assert "sk-in-the-clear" not in str(caught.value)


async def test_a_changed_file_counts_from_the_next_look_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_AGE_S", 0.0)
    front = fronted(api_keys_file=keys_in(tmp_path, "ada=sk-ada"))
    assert (await by(front, "sk-ada", "/v1/models")).status_code == 200
    keys_in(tmp_path, "bob=sk-bobby")
    assert (await by(front, "sk-ada", "/v1/models")).status_code == 401
    assert (await by(front, "sk-bobby", "/v1/models")).status_code == 200


async def test_within_a_second_the_file_is_not_checked_at_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_AGE_S", 3600.0)
    front = fronted(api_keys_file=keys_in(tmp_path, "ada=sk-ada"))
    keys_in(tmp_path, "bob=sk-bobby")
    assert (await by(front, "sk-ada", "/v1/models")).status_code == 200


async def test_a_link_that_turns_to_another_file_is_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_AGE_S", 0.0)
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    old, new = keys_in(tmp_path / "old", "ada=sk-ada"), keys_in(tmp_path / "new", "ada=sk-neu")
    os.utime(new, ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
    link = tmp_path / "link"
    link.symlink_to(old)
    front = fronted(api_keys_file=link)
    link.unlink()
    link.symlink_to(new)
    assert (await by(front, "sk-neu", "/v1/models")).status_code == 200


@pytest.mark.parametrize("content", [b"", b"ada:nothing\n", None])
async def test_a_file_that_becomes_wrong_leaves_the_keys_and_is_logged_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    content: bytes | None,
) -> None:
    monkeypatch.setattr(keys, "MAX_AGE_S", 0.0)
    file = keys_in(tmp_path, "ada=sk-ada")
    front = fronted(api_keys_file=file)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    for _ in range(3):
        assert (await by(front, "sk-ada", "/v1/models")).status_code == 200
    assert caplog.text.count("the API keys stay as they were") == 1
    keys_in(tmp_path, "bob=sk-bobby")
    with caplog.at_level(logging.INFO):
        assert (await by(front, "sk-ada", "/v1/models")).status_code == 401
    assert "read 1 API keys" in caplog.text


async def test_a_change_that_leaves_the_files_stamp_as_it_was_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As within one tick of the file system's clock, with the same number of bytes."""
    monkeypatch.setattr(keys, "MAX_AGE_S", 0.0)
    file = keys_in(tmp_path, "ada=sk-ada")
    stamp = keys._stamp(file)
    monkeypatch.setattr(keys, "_stamp", lambda path: stamp)
    front = fronted(api_keys_file=file)
    keys_in(tmp_path, "bob=sk-bob")
    assert (await by(front, "sk-ada", "/v1/models")).status_code == 401
    assert (await by(front, "sk-bob", "/v1/models")).status_code == 200


def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = keys_in(tmp_path, "ada=sk-ada")
    read = keys._content

    def overtaken(path: Path) -> bytes:
        content = read(path)
        if b"bob" not in content:
            keys_in(tmp_path, "ada=sk-ada", "bob=sk-bob")
        return content

    monkeypatch.setattr(keys, "_content", overtaken)
    assert {key.name for key in read_keys(file).values()} == {"ada", "bob"}


async def test_a_file_that_has_settled_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_AGE_S", 0.0)
    monkeypatch.setattr(keys, "SETTLED_S", -3600.0)
    file = keys_in(tmp_path, "ada=sk-ada")
    front = fronted(api_keys_file=file)
    monkeypatch.setattr(keys, "_content", lambda path: pytest.fail("read again"))
    assert (await by(front, "sk-ada", "/v1/models")).status_code == 200
