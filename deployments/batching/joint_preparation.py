"""Prepares parts of several requests in one go: texts that came together are tokenized together.

Calling a tokenizer in another thread costs about the same for one short text as for thirty.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar

from deployments.batching.lane import Lane
from deployments.batching.scheduler import QueuedRequest
from deployments.batching.tuning import PART_CHARACTERS, PART_ITEMS
from deployments.models.fair_shares import NOBODY, FairShares, Owner
from deployments.seam.problems import Problem

I = TypeVar("I")  # noqa: E741


@dataclass(frozen=True, slots=True, eq=False)
class Unprepared(Generic[I]):
    """Inputs of one request, and ``prepare``, which makes an item of each.

    Inputs with the same ``key`` may be prepared in one call. ``weight`` is their size in
    characters. ``prepared`` is called with the items before they are queued, if the caller still
    waits. If it raises, that request fails alone.
    """

    inputs: Sequence[Any]
    prepare: Callable[[Sequence[Any]], Sequence[I | Problem]]
    key: Hashable
    weight: int
    prepared: Callable[[Sequence[I | Problem]], None]


@dataclass(slots=True, eq=False)
class RequestItems:
    """A part of one request on its way into the queue of a lane: items, or inputs of them.

    ``admitted``: whether the lane had room. ``answers``, by then: a future for each item, or its
    problem.
    """

    lane: Lane[Any, Any]
    part: Sequence[Any] | Unprepared[Any]
    request: QueuedRequest
    admitted: asyncio.Future[bool]
    owner: Owner = NOBODY
    """For whom it is prepared."""
    answers: list[asyncio.Future[Any] | Problem] = field(default_factory=list)

    def admit(self, items: Sequence[Any]) -> None:
        """Queue the items if the queue has room, and if their caller still waits."""
        if self.admitted.done():
            return
        try:
            if isinstance(self.part, Unprepared):
                self.part.prepared(items)
            self.admitted.set_result(self._queue(items))
        except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
            self.admitted.set_exception(error)

    def _queue(self, items: Sequence[Any]) -> bool:
        good = [item for item in items if not isinstance(item, Problem)]
        if good and not self.lane.has_room_for(good, self.request.owner):
            return False
        futures = iter(self.lane.admit(good, self.request) if good else ())
        self.answers = [each if isinstance(each, Problem) else next(futures) for each in items]
        return True

    def fail(self, error: Exception) -> None:
        if not self.admitted.done():
            self.admitted.set_exception(error)

    def cancel(self) -> None:
        """The caller does not wait any more: remove queued items and admit no more."""
        self.admitted.cancel()
        for answer in self.answers:
            if not isinstance(answer, Problem):
                answer.cancel()


Prepare: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]

InThread: TypeAlias = Callable[[Prepare, Sequence[Any]], Awaitable[Sequence[Any]]]
"""Runs a function in the preprocessing thread."""


class JointPreparation:
    """Prepares parts one call at a time, and queues each when it is ready.

    The next part is that of the owner for whom fewest characters were prepared, and of its parts
    the oldest. It is joined by those with its key, its owner's first, as long as they are together
    no larger than the largest part of one request. ``timed`` times a call, by the name of their
    model.
    """

    def __init__(
        self, in_thread: InThread, timed: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._in_thread = in_thread
        self._timed = timed
        self._waiting: list[RequestItems] = []
        self._shares = FairShares()
        self._work: asyncio.Task[None] | None = None

    def add(self, batch: Sequence[RequestItems]) -> None:
        """Take what arrived together. A part that is prepared already is queued at once."""
        for items in batch:
            if isinstance(items.part, Unprepared):
                items.owner = self._shares.begin(items.request.owner)
                self._waiting.append(items)
            else:
                items.admit(items.part)
        if self._waiting and self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._prepare_all())

    async def _prepare_all(self) -> None:
        while self._waiting:
            group = self._next_group()
            await self._prepare([items for items in group if not items.admitted.done()])
            for items in group:
                self._shares.end(items.owner)
        self._work = None

    def _next_group(self) -> list[RequestItems]:
        """Take the part that is next, and those that join it."""
        group: list[RequestItems] = []
        others: list[RequestItems] = []
        count = weight = 0
        owner = min((items.owner for items in self._waiting), key=self._shares.rank)
        for items in sorted(self._waiting, key=lambda items: items.owner != owner):
            part = _unprepared(items)
            fits = (
                count + len(part.inputs) <= PART_ITEMS and weight + part.weight <= PART_CHARACTERS
            )
            if not group or (part.key == _unprepared(group[0]).key and fits):
                group.append(items)
                self._shares.charge(items.owner, part.weight)
                count, weight = count + len(part.inputs), weight + part.weight
            else:
                others.append(items)
        self._waiting = others
        return group

    async def _prepare(self, group: Sequence[RequestItems]) -> None:
        if not group:
            return
        parts = [_unprepared(items) for items in group]
        try:
            inputs = [each for part in parts for each in part.inputs]
            began = time.monotonic()
            with self._timed(group[0].lane.name):
                items_of_all = iter(await self._prepared(parts[0].prepare, inputs))
            _record(group, began, len(inputs))
        except Exception as error:  # noqa: BLE001 - each part's caller gets the error of its own
            if len(group) == 1:
                group[0].fail(error)
                return
            for items in group:
                await self._prepare([items])
            return
        for items, part in zip(group, parts, strict=True):
            items.admit(list(islice(items_of_all, len(part.inputs))))

    async def _prepared(self, prepare: Prepare, inputs: Sequence[Any]) -> Sequence[Any]:
        items = await self._in_thread(prepare, inputs)
        if len(items) != len(inputs):
            raise ValueError(f"{len(items)} items were prepared of {len(inputs)} inputs")
        return items


def _record(group: Sequence[RequestItems], began: float, inputs: int) -> None:
    ended = time.monotonic()
    requests = len({items.request for items in group})
    for items in group:
        if items.request.recorder is not None:
            items.request.recorder.add("tokenize", began, ended, items=inputs, requests=requests)


def _unprepared(items: RequestItems) -> Unprepared[Any]:
    assert isinstance(items.part, Unprepared)
    return items.part
