"""A lease of a conversation: the right of one request to answer its next message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from serve_app.ingress.conversations.history import Conversation, Turn
from serve_app.ingress.conversations.store import ConversationStore, LeaseLost
from serve_app.ingress.errors import Unavailable

RENEWALS = 3
"""How often a lease is renewed within its time. Two renewals may fail before it is lost."""

Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


class Lease:
    """A conversation for one request alone, until a turn is stored or the lease is released.

    While it is held a task renews it, for at most ``longest_s`` seconds; no transaction is open.
    ``spawn`` starts a write that must finish even if the request is cancelled. ``leave_queue`` is
    called when the next request of this replica may have the lease.
    """

    def __init__(
        self,
        store: ConversationStore,
        key: tuple[str, str],
        holder: str,
        *,
        lease_s: float,
        longest_s: float,
        spawn: Spawn,
        leave_queue: Callable[[], None],
    ) -> None:
        self._store = store
        self._key = key
        self._holder = holder
        self._every_s = lease_s / RENEWALS
        self._spawn = spawn
        self._leave_queue = leave_queue
        self._held = True
        self._lost = False
        self._renewing = asyncio.create_task(self._renew(longest_s))

    async def read(self) -> Conversation:
        """The conversation as it is before this message."""
        return await self._store.read(*self._key)

    def check(self) -> None:
        """Raises :class:`LeaseLost` once the lease is known to be lost."""
        if self._lost or not self._held:
            raise LeaseLost

    async def add(self, turn: Turn, begun: Conversation | None = None) -> None:
        """Store the turn and end the lease. Raises :class:`LeaseLost`, and stores nothing then.

        With ``begun`` the turn is the first of a conversation that replaces the earlier one.
        """
        self.check()
        await self._end(self._store.add(*self._key, self._holder, turn, begun))

    async def begin(self, model: str | None) -> None:
        """Start the conversation anew, without a turn, and end the lease. Raises as :meth:`add`."""
        self.check()
        await self._end(self._store.begin(*self._key, self._holder, model))

    def release(self) -> None:
        """End the lease without storing a turn. Does nothing once it has ended. Does not wait."""
        if self._held:
            self._finish(self._store.release(*self._key, self._holder))

    async def _end(self, writing: Coroutine[Any, Any, None]) -> None:
        """Finish the write even if the request is cancelled meanwhile."""
        await asyncio.shield(self._finish(writing))

    def _finish(self, writing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._held = False
        self._renewing.cancel()
        task = self._spawn(writing)
        task.add_done_callback(lambda _: self._leave_queue())
        return task

    async def _renew(self, longest_s: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + longest_s
        while loop.time() < end:
            await asyncio.sleep(self._every_s)
            try:
                if not await self._store.renew(*self._key, self._holder):
                    break
            except Unavailable:  # logged already; the database may be back in time
                continue
        self._lost = True
