"""Admission: whether a call may begin, or would only wait until its request's deadline.

A call that cannot be answered in time costs those that can be, so it is refused at once, with a 429
that says when to come back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Container, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from deployments.seam.tokenization import DetokenizeRequest, TokenizeRequest
from serve_app.ingress.cluster.family_load import NO_TENANT, FamilyLoad, Tenant
from serve_app.ingress.errors import DeadlineExceeded, TooManyRequests

IN_TIME = 0.6
"""The part of the time left that a call may be predicted to take. Calls differ, and those that are
admitted later may be short and go first."""

HASTY_S = 1.0
"""A call that its client gave up sooner, before any of it was done, says nothing about the time."""

UNCOUNTED = (TokenizeRequest, DetokenizeRequest)
"""Requests that wait for no model."""


class Work(NamedTuple):
    """How much a call asks for, in units; ``exact``, or at most so much. ``None`` is unknown."""

    units: float | None = None
    exact: bool = False


class Admission:
    """Admits calls to families by their ``loads``. Others are not bounded here."""

    def __init__(self, loads: Mapping[str, FamilyLoad]) -> None:
        self._loads = loads

    @property
    def is_under_load(self) -> bool:
        """Whether any family has as many calls as it works on at a time."""
        return any(load.is_under_load for load in self._loads.values())

    def enter(
        self,
        family: str,
        request: Any,
        seconds_left: float,
        tenant: Tenant = NO_TENANT,
        begun: Container[str] = (),
    ) -> Place:
        """A place among the calls in flight. Raises :class:`TooManyRequests`.

        For the families in ``begun`` the time that it takes is no reason: they have done a part of
        the same request, which would be lost.
        """
        load = self._loads.get(family)
        if load is None or isinstance(request, UNCOUNTED):
            return Place()
        work = work_of(request)
        seconds_left = math.inf if family in begun else seconds_left
        _check(load, _likely(load, work), seconds_left, tenant)
        return Place(load, work, tenant)

    def check_any(
        self,
        families: Iterable[str],
        max_tokens: int | None,
        seconds_left: float,
        tenant: Tenant = NO_TENANT,
    ) -> None:
        """Raises :class:`TooManyRequests` where each of ``families`` would refuse a call now, that
        writes at most ``max_tokens`` or, where that is unknown, as much as calls usually do. Where
        work is counted in texts, it is the least that a call had."""
        refusal: TooManyRequests | None = None
        for family in families:
            load = self._loads.get(family)
            if load is None:
                return
            units = load.least_units
            work = Work(max_tokens) if units is None else Work(units, exact=True)
            try:
                _check(load, _likely(load, work), seconds_left, tenant)
            except TooManyRequests as error:
                refusal = error
            else:
                return
        if refusal is not None:
            raise refusal

    def with_delay(self, family: str, error: TooManyRequests) -> None:
        """Give ``error``, of Serve or of a replica, the measured time after which to come back."""
        load = self._loads.get(family)
        if load is not None:
            error.headers["Retry-After"] = str(load.retry_after_s)


class Place:
    """The place of one call among those in flight, until it is closed. Without ``load`` none."""

    def __init__(
        self,
        load: FamilyLoad | None = None,
        work: Work | None = None,
        tenant: Tenant = NO_TENANT,
    ) -> None:
        self._load = load
        self._work = work or Work()
        self._written = 0
        self._told = 0
        self._answered = False
        self._call = (
            None
            if load is None
            else load.begin(tenant, self._work.units if self._work.exact else None)
        )

    @property
    def is_counted(self) -> bool:
        """Whether it is one among those in flight."""
        return self._call is not None

    def write(self, tokens: int, *, last: bool) -> None:
        """So many more tokens of a stream have come; ``last`` if no more will."""
        self._written += tokens
        if self._load is not None and self._call is not None:
            self._load.wrote(tokens)
            self._told += tokens
        self._answered = self._answered or last

    def answered(self, answer: Any) -> None:
        """The call has its answer."""
        self._answered = True
        counts = getattr(answer, "token_counts", None)
        self._written = 0 if counts is None else counts.completion

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    def close(self, error: BaseException | None = None) -> None:
        """The call is over; it was cut short, unless it has its answer. ``error`` is how it failed.

        May be called more than once.
        """
        call, self._call = self._call, None
        if call is None or self._load is None:
            return
        if not isinstance(error, DeadlineExceeded | asyncio.CancelledError | None):
            self._load.withdraw(call)
            return
        units, exact = self._work
        if not exact:
            done = self._written or float(self._answered)
        else:
            done = (units or 1.0) if self._answered else 0.0
        was_left = not (done or self._answered or isinstance(error, DeadlineExceeded))
        if was_left and self._load.seconds_since(call) < HASTY_S:
            self._load.withdraw(call)
            return
        is_exact = exact and self._answered
        self._load.end(call, done, whole=self._answered, exact=is_exact, told=self._told)


def work_of(request: Any) -> Work:
    """The tokens that a request may have written; of one that writes none, its texts."""
    texts = len(getattr(request, "texts", ()) or getattr(request, "documents", ()))
    if hasattr(request, "max_new_tokens"):
        new: int | None = request.max_new_tokens
        return Work(None if new is None else new * max(1, texts) * getattr(request, "choices", 1))
    if texts:
        return Work(texts * max(1, len(getattr(request, "labels", ()))), exact=True)
    return Work(1.0)


def _likely(load: FamilyLoad, work: Work) -> float:
    """The units of a call. What it may write it seldom writes."""
    if work.units is None:
        return load.usual_units
    return work.units if work.exact else min(work.units, load.usual_units)


def _check(load: FamilyLoad, units: float, seconds_left: float, tenant: Tenant) -> None:
    if load.is_full_for(tenant):
        raise TooManyRequests("Too many requests are waiting.", load.retry_after_s)
    if load.seconds_for(units, tenant) > IN_TIME * seconds_left:
        message = "Too many requests are waiting for this one to be answered in time."
        raise TooManyRequests(message, load.retry_after_s)
