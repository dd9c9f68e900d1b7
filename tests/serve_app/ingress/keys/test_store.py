"""Keys in a database: hashes alone, that end at once, in time, or after a grace time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from serve_app.ingress.keys import store as stores
from serve_app.ingress.keys.records import Amounts, KeyTerms, Use
from serve_app.ingress.keys.store import KeyRefused, KeyStore, hashed
from serve_app.ingress.keys.stored_keys import StoredKeys
from tests.serve_app.ingress.keys.conftest import Opened

PLAIN = KeyTerms(frozenset({"inference"}))
BOUND = KeyTerms(frozenset({"inference", "admin"}), frozenset({"a", "b"}), 5, 7, 2.5, 60.0)
Sql = Callable[[str], Any]


@pytest.fixture
async def store(opened: Opened) -> KeyStore:
    return opened()


async def valid(store: KeyStore) -> dict[str, list[str]]:
    """The hashes of valid keys by name."""
    found: dict[str, list[str]] = {}
    for each in await store.keys():
        if not each.ended:
            found.setdefault(each.key.name, []).append(each.key.digest)
    return found


async def test_a_key_is_made_of_256_random_bits_and_stored_as_its_hash(
    store: KeyStore, rows: Sql
) -> None:
    key = await store.create("ada", BOUND)
    assert len(key) == len("prsm_") + 43
    assert await valid(store) == {"ada": [hashlib.sha256(key.encode()).hexdigest()]}
    assert key not in str(await rows("SELECT * FROM api_keys"))
    assert await store.create("bob", BOUND) != key


async def test_its_terms_come_back(store: KeyStore) -> None:
    key = await store.create("ada", BOUND)
    changes = await store.exchange(0, {}, ())
    (found,) = changes.keys
    assert (found.scopes, found.families) == (BOUND.scopes, BOUND.families)
    assert (found.requests_per_minute, found.tokens_per_minute, found.weight) == (5, 7, 2.5)
    assert found.expires == pytest.approx(changes.at + 60, abs=30)
    assert found.owner == hashed(key)


@pytest.mark.parametrize(("stored", "counts"), [("0", 0.01), ("-1", 0.01), ("1e300", 1000.0)])
async def test_a_weight_that_cannot_be_is_the_nearest_and_the_log_says_so(
    store: KeyStore, rows: Sql, caplog: pytest.LogCaptureFixture, stored: str, counts: float
) -> None:
    await store.create("ada", BOUND)
    await rows(f"UPDATE api_keys SET weight = {stored}")
    (found,) = (await store.exchange(0, {}, ())).keys
    assert found.weight == counts
    assert f"the API key ada has the weight {float(stored):g} in the database" in caplog.text
    await store.rotate("ada", grace_s=60.0)
    *_, newest = await store.keys()
    assert newest.key.weight == counts


async def test_a_name_has_one_key_until_that_has_ended(store: KeyStore) -> None:
    first = await store.create("ada", PLAIN)
    with pytest.raises(KeyRefused, match="a key ada already"):
        await store.create("ada", PLAIN)
    assert await store.revoke("ada") == 1
    assert await store.revoke("ada") == 0
    second = await store.create("ada", PLAIN)
    assert await valid(store) == {"ada": [hashed(second)]}
    (found,) = (await store.exchange(0, {}, ())).keys
    assert found.owner == hashed(second) != hashed(first)  # who has the name now is somebody else


async def test_rotation_keeps_terms_and_caller_and_ends_the_old_key_in_time(
    store: KeyStore,
) -> None:
    old = await store.create("ada", BOUND)
    new = await store.rotate("ada", grace_s=20.0)
    changes = await store.exchange(0, {}, ())
    by_hash = {key.digest: key for key in changes.keys}
    assert set(by_hash) == {hashed(old), hashed(new)}
    was, now = by_hash[hashed(old)], by_hash[hashed(new)]
    assert was.expires is not None
    assert was.expires < changes.at + 21
    assert now.expires == pytest.approx(changes.at + 60, abs=30)
    assert now.owner == was.owner == hashed(old)
    assert (now.families, now.requests_per_minute, now.weight) == (BOUND.families, 5, 2.5)


async def test_a_grace_time_makes_no_key_live_longer(store: KeyStore) -> None:
    old = await store.create("ada", BOUND)
    await store.rotate("ada", grace_s=86400.0)
    found = {key.digest: key for key in (await store.exchange(0, {}, ())).keys}
    expires = found[hashed(old)].expires
    assert expires is not None
    assert expires == pytest.approx((await store.exchange(0, {}, ())).at + 60, abs=30)


async def test_nothing_is_rotated_that_has_ended(store: KeyStore, rows: Sql) -> None:
    with pytest.raises(KeyRefused, match="no key ada"):
        await store.rotate("ada", 1.0)
    await store.create("ada", BOUND)
    await rows("UPDATE api_keys SET expires = 1")
    with pytest.raises(KeyRefused, match="no key ada"):
        await store.rotate("ada", 1.0)
    assert await valid(store) == {}


async def test_changes_are_read_once(store: KeyStore) -> None:
    ada = await store.create("ada", PLAIN)
    first = await store.exchange(0, {}, ())
    assert [key.name for key in first.keys] == ["ada"]
    bob = await store.create("bob", PLAIN)
    await store.revoke("ada")
    second = await store.exchange(first.revision, {}, ())
    assert [key.digest for key in second.keys] == [hashed(bob)]
    assert second.revoked == (hashed(ada),)
    third = await store.exchange(second.revision, {}, ())
    assert (third.revision, third.keys, third.revoked) == (second.revision, (), ())
    assert [key.name for key in (await store.exchange(0, {}, ())).keys] == ["bob"]


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_changes_are_read_in_pages(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(stores, "PAGE", page)
    for name in ("ada", "bob"):
        await store.create(name, PLAIN)
    await store.rotate("ada", grace_s=60.0)  # two rows of one revision
    changes = await store.exchange(0, {}, ())
    assert sorted(key.name for key in changes.keys) == ["ada", "ada", "bob"]
    assert changes.revision == 3
    await store.revoke("ada")
    assert len((await store.exchange(changes.revision, {}, ())).revoked) == 2


@pytest.mark.parametrize("since", [0, 2])
async def test_a_key_that_is_revoked_while_pages_are_read_ends(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, since: int
) -> None:
    """Also where the last page has a later change than that."""
    monkeypatch.setattr(stores, "PAGE", 1)
    store, operator, changed = opened(), opened(), stores._changed
    names = ("first", "second", "ada", "bob")
    made = {name: hashed(await operator.create(name, PLAIN)) for name in names}

    async def meanwhile(connection: Any, revision: int) -> Any:
        async for row in changed(connection, revision):
            yield row
            if row.name == "ada" and row.revoked is None:
                await operator.revoke("ada")
                await operator.create("eve", PLAIN)

    monkeypatch.setattr(stores, "_changed", meanwhile)
    keys = StoredKeys(store, lambda name, amounts: None)
    keys._revision = since
    await keys._exchange()
    await keys._exchange()
    assert await keys.find(made["ada"]) is None
    assert await keys.find(made["bob"]) is not None


async def test_a_database_that_was_restored_from_an_earlier_copy_is_read_as_a_whole(
    opened: Opened, rows: Sql
) -> None:
    operator, keys = opened(), StoredKeys(opened(), lambda name, amounts: None)
    kept, revoked = [hashed(await operator.create(name, PLAIN)) for name in ("ada", "bob")]
    for table in ("api_keys", "api_key_schema"):
        await rows(f"CREATE TABLE copy_of_{table} AS SELECT * FROM {table}")
    await operator.revoke("bob")
    made_later = hashed(await operator.create("eve", PLAIN))
    assert await found_by(keys, kept, revoked, made_later) == [True, False, True]
    for table in ("api_keys", "api_key_schema"):
        await rows(f"DELETE FROM {table}")
        await rows(f"INSERT INTO {table} SELECT * FROM copy_of_{table}")
        await rows(f"DROP TABLE copy_of_{table}")
    await keys._exchange()
    assert await found_by(keys, kept, revoked, made_later) == [True, True, False]
    await operator.revoke("ada")  # and from there on changes are read as ever
    await keys._exchange()
    assert await found_by(keys, kept, revoked, made_later) == [False, True, False]


async def found_by(keys: StoredKeys, *digests: str) -> list[bool]:
    return [await keys.find(digest) is not None for digest in digests]


async def test_use_adds_up_over_replicas_by_minutes(opened: Opened) -> None:
    one, two = opened(), opened()
    await one.create("ada", PLAIN)
    await one.exchange(0, {Use("ada", 7): Amounts(1, 10), Use("gone", 7): Amounts(1, 1)}, ())
    changes = await two.exchange(0, {Use("ada", 7): Amounts(2, 5)}, ("ada", "none"))
    assert changes.minutes == {"ada": (7, Amounts(3, 15))}
    later = await one.exchange(
        0, {Use("ada", 7): Amounts(1, 1), Use("ada", 8): Amounts(4, 4)}, ("ada",)
    )
    assert later.minutes == {"ada": (8, Amounts(4, 4))}
    late = await two.exchange(0, {Use("ada", 7): Amounts(1, 1)}, ("ada",))
    assert late.minutes == later.minutes
    (found,) = await two.keys()
    assert found.amounts == Amounts(9, 21)
    assert found.used == pytest.approx(changes.at, abs=30)


async def test_changes_at_the_same_time_have_revisions_of_their_own(opened: Opened) -> None:
    stores_ = [opened() for _ in range(3)]
    await asyncio.gather(*(each.create(f"k{i}", PLAIN) for i, each in enumerate(stores_)))
    changes = await stores_[0].exchange(0, {}, ())
    assert changes.revision == 3
    assert len((await stores_[0].exchange(2, {}, ())).keys) == 1


async def test_keys_that_ended_long_ago_are_deleted_and_there_are_never_too_many(
    store: KeyStore, rows: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_KEYS", 2)
    await store.create("ada", PLAIN)
    await store.create("bob", PLAIN)
    with pytest.raises(KeyRefused, match="2 keys already"):
        await store.create("eve", PLAIN)
    await rows("UPDATE api_keys SET revoked = 1 WHERE name = 'ada'")
    await store.create("eve", PLAIN)
    assert [each.key.name for each in await store.keys()] == ["bob", "eve"]


async def test_rotation_leaves_no_rows_of_keys_that_ended_long_ago(
    store: KeyStore, rows: Sql
) -> None:
    old = await store.create("ada", PLAIN)
    await store.rotate("ada", grace_s=0.0)
    await rows(f"UPDATE api_keys SET expires = 1 WHERE hash = '{hashed(old)}'")
    newest = await store.rotate("ada", grace_s=60.0)
    assert len(await store.keys()) == 2
    assert hashed(newest) in (await valid(store))["ada"]
