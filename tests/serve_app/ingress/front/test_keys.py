"""API keys: who is let in, for what, and a file that may change while the service runs."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from configs.errors import ConfigError
from serve_app.ingress.front import keys
from serve_app.ingress.front.access import scope_of
from serve_app.ingress.front.front import Front
from serve_app.ingress.front.keys import MAX_FILE_BYTES, KeyFile, read_keys
from tests.serve_app.ingress.front.fronting import NATIVE, asked, fronted, keys_in

HASH = hashlib.sha256(b"sk").hexdigest()
LOAD = f"{NATIVE}/models/org/name"


@pytest.fixture
def front(tmp_path: Path) -> Front:
    lines = ("ada=sk-ada", "root=sk-root:admin", "both=sk-both:inference,admin")
    return fronted(api_keys_file=keys_in(tmp_path, "# who", "", *lines))


async def by(front: Front, key: str | None, path: str, method: str = "POST") -> httpx.Response:
    headers = [] if key is None else [("authorization", f"Bearer {key}")]
    return await asked(front, path, method=method, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer sk-ada")],
        [("authorization", "bearer  sk-ada ")],
        [("x-api-key", "sk-ada")],
        [("authorization", "Basic dTpw"), ("x-api-key", "sk-ada")],
    ],
)
async def test_a_known_key_is_let_in_wherever_it_is(
    front: Front, headers: list[tuple[str, str]]
) -> None:
    assert (await asked(front, f"{NATIVE}/generate", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer ")],
        [("authorization", "Basic dTpw")],
        [("authorization", "Bearer sk-ad")],
        [("authorization", f"Bearer {hashlib.sha256(b'sk-ada').hexdigest()}")],
        [("x-api-key", "sk-root2")],
        [("authorization", b"Bearer \xff")],
        [("authorization", "Bearer nobody"), ("x-api-key", "sk-ada")],
    ],
)
async def test_any_other_is_a_401(front: Front, headers: list[tuple[str, str | bytes]]) -> None:
    response = await asked(front, f"{NATIVE}/generate", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error_type"] == "authentication_error"
    assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_each_surface_refuses_in_its_own_envelope(front: Front) -> None:
    assert (await by(front, None, "/v1/models")).json()["error"]["code"] == "invalid_api_key"
    hub = (await by(front, None, "/models/x/y")).json()
    assert isinstance(hub["error"], str)
    assert (await by(front, "sk-root", "/v1/models")).json()["error"]["code"] == (
        "insufficient_permissions"
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", f"{NATIVE}/generate", {"ada", "both"}),
        ("POST", "/v1/chat/completions", {"ada", "both"}),
        ("POST", "/models/org/name", {"ada", "both"}),
        ("GET", "/v1/models", {"ada", "both"}),
        ("GET", f"{NATIVE}/models", {"ada", "both"}),
        ("GET", f"{NATIVE}/models/loaded", {"ada", "both"}),
        ("GET", "/nothing/of/that/name", {"ada", "both"}),
        ("POST", LOAD, {"root", "both"}),
        ("DELETE", LOAD, {"root", "both"}),
        ("DELETE", f"/under/a/prefix{LOAD}", {"root", "both"}),
        ("GET", "/metrics", {"root", "both"}),
        ("HEAD", "/metrics", {"root", "both"}),
    ],
)
async def test_a_key_may_do_what_its_scopes_name(
    front: Front, method: str, path: str, allowed: set[str]
) -> None:
    names = ("ada", "root", "both")
    found = {name: (await by(front, f"sk-{name}", path, method)).status_code for name in names}
    assert found == {name: 200 if name in allowed else 403 for name in names}
    assert (await by(front, None, path, method)).status_code == 401


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/health", "/health/liveness", "/health/readiness"]
)
async def test_health_and_documentation_need_no_key(front: Front, path: str) -> None:
    assert (await by(front, None, path, "GET")).status_code == 200


async def test_a_browsers_question_needs_no_key(front: Front) -> None:
    assert (await by(front, None, f"{NATIVE}/generate", "OPTIONS")).status_code == 200


CALLS_BY_SCOPE = {
    "admin": ["GET /metrics", "GET /prefix/metrics", f"POST {LOAD}", f"DELETE /prefix{LOAD}"],
    "inference": [
        f"GET {LOAD}",
        f"GET {NATIVE}/conversations/team/metrics",
        f"POST {NATIVE}/conversations/team/metrics",
        f"POST {NATIVE}/conversations{LOAD}/messages",
        "GET /v1/models/org/metrics",
        "POST /models/org/metrics",
        "POST /health/v1/chat/completions",
        "POST /docs/v1/chat/completions",
        "POST /health",
        "GET /health/v1/models",
    ],
    None: [
        "GET /docs/assets/swagger-ui.js",
        "GET /playground/app.js",
        "HEAD /health/liveness",
        "OPTIONS /v1/chat/completions",
    ],
}


@pytest.mark.parametrize(
    ("call", "needed"),
    [(call, needed) for needed, calls in CALLS_BY_SCOPE.items() for call in calls],
)
def test_what_a_request_needs_goes_by_its_method_and_path(call: str, needed: str | None) -> None:
    method, path = call.split()
    assert scope_of(method, path) == needed


async def test_who_has_no_key_takes_no_memory_from_those_who_have(tmp_path: Path) -> None:
    keyed = keys_in(tmp_path, "ada=sk-ada")
    front = fronted(api_keys_file=keyed, max_body_bytes=8, max_inflight_body_bytes=8)
    stay, begun = asyncio.Event(), asyncio.Event()

    async def unfinished() -> AsyncIterator[bytes]:
        yield b"1234567"
        begun.set()
        await stay.wait()

    beside = asyncio.create_task(asked(front, "/v1/x", method="OPTIONS", content=unfinished()))
    await begun.wait()
    key = [("authorization", "Bearer sk-ada")]
    response = await asked(front, f"{NATIVE}/generate", content=b"12345678", headers=key)
    assert response.json()["length"] == 8
    stay.set()
    assert (await beside).json()["length"] == 0


async def test_a_session_belongs_to_its_key(front: Front) -> None:
    headers = [("authorization", "Bearer sk-ada"), ("x-session-id", "s-1")]
    found = (await asked(front, f"{NATIVE}/generate", headers=headers)).json()["headers"]
    assert found["x-session-id"] == "ada:s-1"


async def test_without_a_file_every_key_passes() -> None:
    assert (await by(fronted(), "whatever", f"{NATIVE}/generate")).status_code == 200


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
