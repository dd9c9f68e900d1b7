"""A replica's view of the stored keys: soon renewed, and bounded while there is no database."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.errors import Unavailable
from serve_app.ingress.keys import stored_keys
from serve_app.ingress.keys.records import Amounts, KeyChanges, Use
from serve_app.ingress.keys.stored_keys import MAX_AGE_S, MAX_STALE_S, OUTAGE_S, StoredKeys
from tests.serve_app.local_handle import PATIENCE_S

ADA = ApiKey("ada", "a" * 64, frozenset({"inference"}))
BOB = ApiKey("bob", "b" * 64, frozenset({"inference"}))


class Store:
    """A database of which the test says what it has, and whether it answers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.revision = 0
        self.at = 5e9
        """Its own time."""
        self.keys: dict[str, ApiKey] = {}
        self.revoked: list[str] = []
        self.minutes: dict[str, tuple[int, Amounts]] = {}
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.written = asyncio.Event()
        self.counted = asyncio.Event()
        """Set once some use was written."""
        self.calls = 0
        self.used: list[dict[Use, Amounts]] = []

    def clock(self) -> float:
        return self.now

    def has(self, *keys: ApiKey) -> None:
        self.keys |= {key.digest: key for key in keys}

    async def exchange(self, since: int, used: dict[Use, Amounts], names: list[str]) -> KeyChanges:
        self.calls += 1
        await self.answers.wait()
        if self.away:
            raise Unavailable("away")
        for (name, minute), amounts in used.items():
            last, before = self.minutes.get(name, (minute, Amounts()))
            self.minutes[name] = minute, amounts.plus(before if last == minute else Amounts())
        self.used.append(used)
        self.written.set()
        if used:
            self.counted.set()
        self.revision += 1
        minutes = {name: self.minutes[name] for name in names if name in self.minutes}
        keys, gone = tuple(self.keys.values()), tuple(self.revoked)
        return KeyChanges(self.revision, self.at, keys, gone, minutes)

    async def close(self) -> None: ...


class Elsewhere(list[tuple[str, Amounts]]):
    def used(self, name: str, amounts: Amounts) -> None:
        self.append((name, amounts))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def keys(store: Store, elsewhere: Elsewhere) -> StoredKeys:
    return StoredKeys(store, elsewhere.used, store.clock)  # type: ignore[arg-type]


async def settled() -> None:
    """Let what was begun go on until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_requests_make_one_query(keys: StoredKeys, store: Store) -> None:
    store.has(ADA)
    found = await asyncio.gather(*(keys.find(ADA.digest) for _ in range(50)))
    assert found == [ADA] * 50
    assert [await keys.find(ADA.digest) for _ in range(50)] == found
    assert store.calls == 1


async def test_an_old_view_is_renewed_while_requests_go_on(keys: StoredKeys, store: Store) -> None:
    store.has(ADA)
    await keys.find(ADA.digest)
    store.answers.clear()
    store.now += MAX_AGE_S
    assert await keys.find(ADA.digest) == ADA  # nobody waits for the database
    await settled()
    assert store.calls == 2
    store.answers.set()


async def test_a_revoked_key_ends_with_the_next_reading(keys: StoredKeys, store: Store) -> None:
    store.has(ADA)
    await keys.find(ADA.digest)
    store.keys.clear()
    store.revoked.append(ADA.digest)
    store.now += MAX_AGE_S
    await keys.find(ADA.digest)
    await settled()
    assert await keys.find(ADA.digest) is None


async def test_after_a_silence_a_request_waits_to_hear_of_a_revocation(
    keys: StoredKeys, store: Store
) -> None:
    store.has(ADA)
    await keys.find(ADA.digest)
    store.keys.clear()
    store.revoked.append(ADA.digest)
    store.now += MAX_STALE_S
    assert await keys.find(ADA.digest) is None


async def test_a_new_key_is_found_at_once_and_strangers_cannot_make_many_queries(
    keys: StoredKeys, store: Store
) -> None:
    assert await keys.find(BOB.digest) is None
    store.has(BOB)
    store.now += stored_keys.MIN_AGE_S
    assert await keys.find(BOB.digest) == BOB
    for _ in range(100):
        assert await keys.find("c" * 64) is None
    assert store.calls == 2


async def test_a_key_expires_by_the_databases_clock(keys: StoredKeys, store: Store) -> None:
    store.has(
        ApiKey("ada", "a" * 64, frozenset(), expires=5e9 + 3600),
        ApiKey("bob", "b" * 64, frozenset(), expires=5e9 - 3600),
    )
    assert await keys.find("a" * 64) is not None
    assert await keys.find("b" * 64) is None


async def test_without_the_database_known_keys_go_on_for_a_bounded_time(
    keys: StoredKeys, store: Store
) -> None:
    store.has(ADA)
    await keys.find(ADA.digest)
    store.away = True
    for _ in range(3):
        store.now += OUTAGE_S / 4
        assert await keys.find(ADA.digest) == ADA
        with pytest.raises(Unavailable):
            await keys.find(BOB.digest)
    store.now += OUTAGE_S / 4
    with pytest.raises(Unavailable):
        await keys.find(ADA.digest)
    store.away = False
    store.now += stored_keys.RETRY_S
    with pytest.raises(Unavailable):  # it is not waited for again, but it begins
        await keys.find(ADA.digest)
    await settled()
    assert await keys.find(ADA.digest) == ADA


async def test_a_database_that_fails_makes_no_key_unknown(keys: StoredKeys, store: Store) -> None:
    assert await keys.find(BOB.digest) is None
    store.away = True
    store.now += stored_keys.MIN_AGE_S
    with pytest.raises(Unavailable):
        await keys.find(BOB.digest)


async def test_a_database_that_was_never_there_lets_nobody_in(
    keys: StoredKeys, store: Store
) -> None:
    store.away = True
    with pytest.raises(Unavailable):
        await keys.find(ADA.digest)


async def test_a_database_that_hangs_is_waited_for_only_so_long(
    keys: StoredKeys, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_keys, "WAIT_S", 0.01)
    store.answers.clear()
    with pytest.raises(Unavailable):
        await keys.find(ADA.digest)
    store.answers.set()
    store.has(ADA)
    await settled()
    assert await keys.find(ADA.digest) == ADA


async def test_use_reaches_the_database_and_that_of_others_comes_back(
    keys: StoredKeys, store: Store, elsewhere: Elsewhere
) -> None:
    await keys.find(ADA.digest)
    minute = int(keys.now() // 60)
    store.minutes["ada"] = minute, Amounts(7, 70)  # before anybody called here
    keys.used("ada", Amounts(requests=1))
    keys.used("ada", Amounts(tokens=10))
    store.now += MAX_STALE_S
    await keys.find(ADA.digest)
    assert store.used[1:] == [{Use("ada", minute): Amounts(1, 10)}]
    assert elsewhere == [("ada", Amounts(7, 70))]
    store.minutes["ada"] = minute, Amounts(10, 95)
    keys.used("ada", Amounts(tokens=100))
    store.now += MAX_STALE_S
    await keys.find(ADA.digest)
    assert elsewhere[1:] == [("ada", Amounts(2, 15))]


async def test_use_of_a_minute_that_is_over_does_not_count_against_this_one(
    keys: StoredKeys, store: Store, elsewhere: Elsewhere
) -> None:
    await keys.find(ADA.digest)
    keys.used("ada", Amounts(1, 10))
    store.at += 120
    store.now += MAX_STALE_S
    await keys.find(ADA.digest)
    store.now += MAX_STALE_S
    keys.used("ada", Amounts(2, 20))
    await keys.find(ADA.digest)
    minute = int(store.at // 60)
    assert [*store.used[-1]] == [Use("ada", minute)]
    assert [amounts for _, amounts in elsewhere] == [Amounts()]


async def test_use_is_kept_while_the_database_is_away_and_written_at_the_end(
    keys: StoredKeys, store: Store
) -> None:
    keys.used("ada", Amounts(1, 10))
    store.away = True
    with pytest.raises(Unavailable):
        await keys.find(ADA.digest)
    store.away = False
    await keys.close()
    assert [*store.used[0].values()] == [Amounts(1, 10)]


async def test_use_is_written_without_a_further_request(
    keys: StoredKeys, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_keys, "MAX_AGE_S", 0.0)
    keys.used("ada", Amounts(1, 10))
    await asyncio.wait_for(store.written.wait(), PATIENCE_S)
    assert [*store.used[0].values()] == [Amounts(1, 10)]


@pytest.mark.parametrize("away", [False, True])
async def test_use_that_could_not_be_written_at_once_is_written_without_a_request(
    keys: StoredKeys, store: Store, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    """While another reading goes on, and for a moment after one has failed."""
    monkeypatch.setattr(stored_keys, "MAX_AGE_S", 0.0)
    monkeypatch.setattr(stored_keys, "FLUSH_RETRY_S", 0.0)
    store.answers.clear()
    asking = asyncio.ensure_future(keys.find(ADA.digest))
    await settled()
    keys.used("ada", Amounts(1, 10))
    await settled()
    store.away = away
    store.answers.set()
    await asyncio.gather(asking, return_exceptions=True)
    await settled()
    store.away = False
    store.now += stored_keys.RETRY_S
    await asyncio.wait_for(store.counted.wait(), PATIENCE_S)
    assert [[*each.values()] for each in store.used if each] == [[Amounts(1, 10)]]
    await keys.close()
