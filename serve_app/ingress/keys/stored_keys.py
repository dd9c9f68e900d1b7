"""The stored keys as one replica of the ingress knows them: read again when they are old."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.errors import Unavailable
from serve_app.ingress.keys.limits import MINUTE_S
from serve_app.ingress.keys.records import Amounts, KeyChanges, Use
from serve_app.ingress.keys.store import KeyStore

logger = logging.getLogger(__name__)

MAX_AGE_S = 1.0
"""From this age on the keys are read again, while requests go on with those that are known."""
MIN_AGE_S = 0.1
"""For an unknown key they are read again from this age on, at most so often."""
MAX_STALE_S = 3.0
"""From this age on requests wait for the reading: a key that was revoked while nobody called."""
MAX_UNKNOWN_S = 5.0
"""Keys that are older than this do not tell that a key is unknown."""
WAIT_S = 2.0
"""So long they wait for it. Then the database counts as away."""
RETRY_S = 2.0
FLUSH_RETRY_S = 10.0
"""So often it is tried without requests, to write what keys used before."""
OUTAGE_S = 300.0
"""So long keys that are known go on without the database."""
FORGET_S = 120.0
"""A name's use by other replicas is followed for so long after its last use here."""

NOTHING = Amounts()

UsedElsewhere = Callable[[str, Amounts], None]


@dataclass(slots=True)
class SharedMinute:
    """The use of a name in one minute, here and by other replicas, as the database has it."""

    minute: int
    here: Amounts = NOTHING
    elsewhere: Amounts = NOTHING


class StoredKeys:
    """Keys by their hashes, without a query in the way of a request.

    One transaction a second, and none without requests, reads what changed and adds what keys used.
    ``used_elsewhere`` is told what other replicas added in this minute, for the limits that they
    share.
    """

    def __init__(
        self,
        store: KeyStore,
        used_elsewhere: UsedElsewhere,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._used_elsewhere = used_elsewhere
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}
        self._revision = 0
        self._read_at = -OUTAGE_S
        self._ahead_s = 0.0
        """By how much the database's clock is ahead of this machine's."""
        self._reading: asyncio.Task[None] | None = None
        self._began = 0.0
        self._failed_at: float | None = None
        self._pending: defaultdict[Use, Amounts] = defaultdict(Amounts)
        self._minutes: dict[str, SharedMinute] = {}
        self._used_at: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def find(self, digest: str) -> ApiKey | None:
        """The key with this hash, if there is one that is valid.

        Raises :class:`Unavailable` if that is not known, since the database is away.
        """
        key, age_s = self._keys.get(digest), self._age_s
        if age_s >= (MIN_AGE_S if key is None else MAX_AGE_S):
            self._read()
            if key is None or age_s >= MAX_STALE_S:
                await self._wait()
                key, age_s = self._keys.get(digest), self._age_s
        if key is None:
            is_unsure = self._failed_at is not None or age_s >= MAX_UNKNOWN_S
        else:
            is_unsure = age_s >= OUTAGE_S
        if is_unsure:
            raise Unavailable("API keys cannot be looked up right now.")
        if key is None or (key.expires is not None and key.expires <= self.now()):
            return None
        return key

    def now(self) -> float:
        """The database's time, in seconds since 1970."""
        return time.time() + self._ahead_s

    def used(self, name: str, amounts: Amounts) -> None:
        """Keys of a name were used now; the database has it about a second later."""
        self._used_at[name] = self._clock()
        self._add(Use(name, self._minute()), amounts)

    def _add(self, use: Use, amounts: Amounts) -> None:
        self._pending[use] = self._pending[use].plus(amounts)
        if self._timer is None:
            self._flush_later()

    async def close(self) -> None:
        """Write what is left to be written, and close every connection."""
        self._stop_timer()  # else it begins another reading while the one that goes on ends
        if self._reading is not None:
            await asyncio.wait({self._reading})
        if self._pending:
            await self._exchange()
        self._stop_timer()
        await self._store.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _age_s(self) -> float:
        return self._clock() - self._read_at

    def _flush_later(self) -> None:
        delay_s = MAX_AGE_S if self._failed_at is None else FLUSH_RETRY_S
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._pending:
            self._read()
            # That may not be allowed yet, or take what was used before this.
            self._flush_later()

    def _read(self) -> None:
        """Begin to read, unless that goes on, or failed a moment ago."""
        failed_at = self._failed_at
        resting = failed_at is not None and self._clock() - failed_at < RETRY_S
        if self._reading is None and not resting:
            self._began = self._clock()
            self._reading = asyncio.create_task(self._exchange())

    async def _wait(self) -> None:
        """Wait for the reading that goes on. One after a failure is not waited for."""
        if self._reading is not None and self._failed_at is None:
            left_s = self._began + WAIT_S - self._clock()
            if left_s > 0:
                await asyncio.wait({self._reading}, timeout=left_s)

    async def _exchange(self) -> None:
        used, self._pending = dict(self._pending), defaultdict(Amounts)
        at = self._clock()
        try:
            changes = await self._store.exchange(self._revision, used, self._followed(at))
        except Unavailable:  # it is logged where it is raised
            self._failed_at = self._clock()
            for use, amounts in used.items():
                self._add(use, amounts)
        else:
            self._failed_at = None
            self._read_at = at
            self._take(changes, used)
        finally:
            self._reading = None

    def _followed(self, at: float) -> list[str]:
        """The names that were used here lately. Others are forgotten."""
        for name in [each for each, used in self._used_at.items() if at - used >= FORGET_S]:
            del self._used_at[name]
            self._minutes.pop(name, None)
        return list(self._used_at)

    def _minute(self) -> int:
        return int(self.now() // MINUTE_S)

    def _take(self, changes: KeyChanges, used: dict[Use, Amounts]) -> None:
        self._revision = changes.revision
        self._ahead_s = changes.at - time.time()
        before = {} if changes.whole else self._keys
        self._keys = before | {key.digest: key for key in changes.keys}
        # Last: a key may have been revoked after its page was read, and none comes back.
        for digest in changes.revoked:
            self._keys.pop(digest, None)
        for name, (minute, total) in changes.minutes.items():
            shared = self._minutes.get(name)
            if shared is None or shared.minute != minute:
                shared = self._minutes[name] = SharedMinute(minute)
            shared.here = shared.here.plus(used.get(Use(name, minute), NOTHING))
            elsewhere, known = total.minus(shared.here), shared.elsewhere
            shared.elsewhere = elsewhere
            if minute == self._minute():
                self._used_elsewhere(name, elsewhere.minus(known))
