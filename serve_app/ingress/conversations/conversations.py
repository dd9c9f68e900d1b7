"""Conversations as routes use them: read, list, delete, and lease to answer the next message."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Coroutine
from typing import Any

from configs.settings import Settings
from serve_app.ingress.conversations.history import Conversation, HistoryBounds
from serve_app.ingress.conversations.lease import Lease
from serve_app.ingress.conversations.message_queues import MessageQueues, QueueFull
from serve_app.ingress.conversations.store import ConversationStore, write_and_delete
from serve_app.ingress.conversations.tables import LAYOUT
from serve_app.ingress.deadline import LATE
from serve_app.ingress.errors import DeadlineExceeded, ServiceError, TooManyRequests
from serve_app.ingress.sql.database import Database

logger = logging.getLogger(__name__)

FIRST_POLL_S = 0.02
LONGEST_POLL_S = 0.5
SWEEP_EVERY_S = 60.0
RETRY_AFTER_S = 5


class Conversations:
    """Histories in a database that all replicas of the ingress share.

    The database is opened at its first use. Messages of one conversation are answered one after
    another, on whichever replicas they arrive: each needs the conversation's lease.
    """

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings.conversations_database, LAYOUT)
        self._lease_s = settings.conversation_lease_s
        self._wait_s = settings.conversation_wait_s
        self._longest_s = settings.request_timeout_s + self._lease_s
        self._store = ConversationStore(self._database, HistoryBounds.of(settings), self._lease_s)
        self._queues = MessageQueues()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._next_sweep = 0.0

    async def read(self, caller: str, user_id: str) -> Conversation:
        return await self._store.read(caller, user_id)

    async def exists(self, caller: str, user_id: str) -> bool:
        """Whether there is a conversation, even one without a turn."""
        return await self._store.exists(caller, user_id)

    async def users(self, caller: str, limit: int, after: str = "") -> list[str]:
        return await self._store.users(caller, limit, after)

    async def delete(self, caller: str, user_id: str) -> None:
        """Delete a conversation at once. An answer that is being generated will not be stored."""
        await self._store.delete(caller, user_id)

    async def lease(self, caller: str, user_id: str, deadline: float | None = None) -> Lease:
        """Lease the conversation, as soon as no other request has it. The lease must be released.

        Raises :class:`TooManyRequests` after ``conversation_wait_s``, or at once when many wait,
        and :class:`DeadlineExceeded` at the ``deadline``, in the time of the event loop.
        """
        key = (caller, user_id)
        loop = asyncio.get_running_loop()
        until = min(loop.time() + self._wait_s, deadline or math.inf)
        try:
            async with asyncio.timeout_at(until):
                await self._queues.enter(key)
            try:
                holder = await self._acquired(caller, user_id, until)
            except BaseException:
                self._queues.leave(key)
                raise
        except (TimeoutError, QueueFull) as error:
            if isinstance(error, TimeoutError) and until == deadline:
                raise DeadlineExceeded(LATE) from None
            message = "Earlier messages of this conversation are still being answered."
            raise TooManyRequests(message, RETRY_AFTER_S) from None
        self._sweep_now_and_then()
        return Lease(
            self._store,
            key,
            holder,
            lease_s=self._lease_s,
            longest_s=self._longest_s,
            spawn=self._spawn,
            leave_queue=lambda: self._queues.leave(key),
        )

    async def failure(self) -> str | None:
        """Why conversations cannot be used, as far as this replica knows; else ``None``."""
        return await self._database.failure(write_and_delete)

    async def close(self) -> None:
        """Wait for the writes under way, and close every connection."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._database.close()

    async def _acquired(self, caller: str, user_id: str, until: float) -> str:
        """Acquire the lease and return its holder's name. Raises ``TimeoutError``.

        There is at least one attempt. Leases of other replicas can only be polled; within one
        replica the queue wakes the next request.
        """
        loop = asyncio.get_running_loop()
        holder = secrets.token_hex(16)
        pause = FIRST_POLL_S
        while not await self._acquire(caller, user_id, holder):
            if loop.time() + pause > until:
                raise TimeoutError
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(1000) / 1000))
            pause = min(2 * pause, LONGEST_POLL_S)
        return holder

    async def _acquire(self, caller: str, user_id: str, holder: str) -> bool:
        """One attempt. If it is cancelled meanwhile, a lease that it acquired is released."""
        task = self._spawn(self._store.acquire(caller, user_id, holder))
        try:
            return bool(await asyncio.shield(task))
        except asyncio.CancelledError:
            self._spawn(self._release_if_acquired(task, caller, user_id, holder))
            raise

    async def _release_if_acquired(
        self, acquiring: asyncio.Task[Any], caller: str, user_id: str, holder: str
    ) -> None:
        if await acquiring:
            await self._store.release(caller, user_id, holder)

    def _sweep_now_and_then(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY_S
            self._spawn(self._store.sweep())

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that is finished even if the request that started it is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """Log a failure that nobody may be waiting for any more."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            level = logging.DEBUG if isinstance(error, ServiceError) else logging.ERROR
            logger.log(level, "a task of conversations failed", exc_info=error)
