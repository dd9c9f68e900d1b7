"""Stored keys at the front: beside the file, within their limits, gone when they are revoked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from configs.settings import Settings
from serve_app.ingress.front import keys
from serve_app.ingress.front.front import Front, FrontPolicy, policy_for
from serve_app.ingress.keys import limits, stored_keys
from serve_app.ingress.keys.records import KeyTerms
from serve_app.ingress.keys.store import KeyStore
from serve_app.ingress.keys.tables import LAYOUT
from serve_app.ingress.routes.dialects import error_answers
from serve_app.ingress.sql.database import Database
from tests.serve_app.ingress.front.fronting import NATIVE, asked, by, echo, keys_in

PLAIN = KeyTerms(frozenset({"inference"}))
DIALECTS: dict[str, Callable[[Any], bool]] = {
    f"{NATIVE}/generate": lambda body: body["error_type"] == "rate_limit_error",
    "/v1/chat/completions": lambda body: body["error"]["code"] == "rate_limit_exceeded",
    "/v1/messages": lambda body: body["error"]["type"] == "rate_limit_error",
    "/models/org/name": lambda body: "of this minute" in body["error"],
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[KeyStore]:
    made = KeyStore(Database(make_url(f"sqlite+aiosqlite:///{tmp_path}/keys.sqlite3"), LAYOUT))
    yield made
    await made.close()


@pytest.fixture
async def policy(
    store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FrontPolicy]:
    """Every request looks the keys up again."""
    monkeypatch.setattr(stored_keys, "MAX_STALE_S", 0.0)
    monkeypatch.setattr(stored_keys, "MAX_AGE_S", 0.0)
    monkeypatch.setattr(stored_keys, "MIN_AGE_S", 0.0)
    monkeypatch.setattr(keys, "MAX_AGE_S", 0.0)
    for module in (limits, stored_keys):  # no test begins in one minute and ends in the next
        monkeypatch.setattr(module, "MINUTE_S", 10**9)
    file = keys_in(tmp_path, "filed=sk-filed", "root=sk-root:admin")
    settings = Settings(keys_url=f"sqlite:///{tmp_path}/keys.sqlite3", api_keys_file=file)
    made = policy_for(settings, None, None, error_answers())
    yield made
    assert made.keys is not None
    await made.keys.close()


@pytest.fixture
def front(policy: FrontPolicy) -> Front:
    return Front(echo, policy)


async def test_keys_of_the_file_and_of_the_database_are_let_in(
    front: Front, store: KeyStore
) -> None:
    key = await store.create("ada", PLAIN)
    assert (await by(front, key)).status_code == 200
    assert (await by(front, "sk-filed")).status_code == 200
    assert (await by(front, key, f"{NATIVE}/models/org/name", "DELETE")).status_code == 403
    assert (await by(front, None)).status_code == 401


async def test_a_key_ends_when_it_is_revoked_or_rotated_without_a_restart(
    front: Front, store: KeyStore
) -> None:
    ada, bob = await store.create("ada", PLAIN), await store.create("bob", PLAIN)
    new = await store.rotate("ada", grace_s=0.0)
    await store.revoke("bob")
    refused = [await by(front, key) for key in (ada, bob, "prsm_nobodys")]
    assert [each.status_code for each in refused] == [401, 401, 401]
    told = [{**each.json(), "request_id": "", "timestamp": ""} for each in refused]
    assert told[0] == told[1] == told[2]  # nobody learns which keys there were
    assert (await by(front, new)).status_code == 200


async def test_without_the_database_the_file_is_enough_and_others_get_a_503(
    front: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "keys.sqlite3").mkdir()
    response = await by(front, "prsm_somebodys")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert (await by(front, "sk-filed")).status_code == 200
    assert (await by(front, None)).status_code == 401


@pytest.mark.parametrize("path", DIALECTS)
async def test_over_its_limit_a_key_gets_a_429_in_the_dialects_words(
    front: Front, store: KeyStore, path: str
) -> None:
    key = await store.create("ada", KeyTerms(frozenset({"inference"}), requests_per_minute=2))
    first, second, third = [await by(front, key, path) for _ in range(3)]
    assert [each.status_code for each in (first, second, third)] == [200, 200, 429]
    left = [each.headers["x-ratelimit-remaining-requests"] for each in (first, second, third)]
    assert left == ["1", "0", "0"]
    assert third.headers["x-ratelimit-limit-requests"] == "2"
    assert third.headers["x-ratelimit-reset-requests"] == f"{third.headers['retry-after']}s"
    assert int(third.headers["retry-after"]) >= 1
    assert DIALECTS[path](third.json())
    assert "x-ratelimit-limit-tokens" not in third.headers


async def test_reading_does_not_count(front: Front, store: KeyStore) -> None:
    key = await store.create("ada", KeyTerms(frozenset({"inference"}), requests_per_minute=1))
    for _ in range(3):
        response = await by(front, key, "/v1/models", "GET")
        assert response.status_code == 200
        assert "x-ratelimit-limit-requests" not in response.headers
    assert (await by(front, key)).status_code == 200


async def test_tokens_count_when_they_were_used_and_refuse_the_next_request(
    front: Front, policy: FrontPolicy, store: KeyStore
) -> None:
    key = await store.create("ada", KeyTerms(frozenset({"inference"}), tokens_per_minute=100))
    first = await by(front, key)
    assert first.headers["x-ratelimit-remaining-tokens"] == "100"
    assert policy.keys is not None
    admitted = await policy.keys.named(key, "inference")
    policy.keys.used(admitted, 130)
    second = await by(front, key)
    assert second.status_code == 429
    assert second.headers["x-ratelimit-remaining-tokens"] == "0"
    assert "100 tokens" in second.json()["message"]


async def test_a_rotated_key_has_no_second_limit(front: Front, store: KeyStore) -> None:
    old = await store.create("ada", KeyTerms(frozenset({"inference"}), requests_per_minute=1))
    new = await store.rotate("ada", grace_s=60.0)
    assert (await by(front, old)).status_code == 200
    assert (await by(front, new)).status_code == 429


async def test_limits_hold_for_all_replicas_together(
    front: Front, store: KeyStore, tmp_path: Path
) -> None:
    key = await store.create("ada", KeyTerms(frozenset({"inference"}), requests_per_minute=4))
    url = f"sqlite:///{tmp_path}/keys.sqlite3"
    other = policy_for(Settings(keys_url=url), None, None, error_answers())
    beside = Front(echo, other)
    found = [(await by(each, key)).status_code for each in (front, beside) * 4]
    assert found.count(200) < 8  # each of them alone would have admitted four
    assert found[-1] == 429
    assert other.keys is not None
    await other.keys.close()


async def test_answers_have_the_limits_for_scripts_of_other_origins(
    store: KeyStore, tmp_path: Path
) -> None:
    key = await store.create("ada", KeyTerms(frozenset({"inference"}), requests_per_minute=1))
    url = f"sqlite:///{tmp_path}/keys.sqlite3"
    policy = policy_for(
        Settings(keys_url=url, cors_origins=("https://a.org",)), None, None, error_answers()
    )
    headers = [("authorization", f"Bearer {key}"), ("origin", "https://a.org")]
    response = await asked(Front(echo, policy), f"{NATIVE}/generate", headers=headers)
    exposed = response.headers["access-control-expose-headers"].lower().split(", ")
    assert set(limits.HEADERS) <= set(exposed)
    assert policy.keys is not None
    await policy.keys.close()
