"""Calls of a list end each by itself: late, left, failed or answered."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from ray.serve.exceptions import BackPressureError

from deployments.seam.problems import Problem
from serve_app.ingress.errors import DeadlineExceeded, InternalError, ValidationFailed
from tests.serve_app.ingress.cluster.echo_family import Asked, Echo, ask, client, joined
from tests.serve_app.local_handle import happens

SECRET = "/home/inside/model.py line 7"


async def test_a_slow_call_delays_neither_its_companions_nor_those_that_come_later() -> None:
    family = Echo()
    family.hold("slow")
    calls = client(family)
    slow, *quick = joined(calls, "slow", "a", "b")
    assert await asyncio.gather(*quick) == ["a", "b"]
    assert await ask(calls, "c") == "c"
    assert not slow.done()
    family.release("slow")
    assert await slow == "slow"


async def test_a_caller_that_leaves_stops_its_own_call_alone() -> None:
    family = Echo()
    family.hold("a", "b")
    first, second = joined(client(family), "a", "b")
    await happens(family.began["b"])
    first.cancel()
    await happens(family.ended)
    assert family.stopped == ["a"]
    family.release("b")
    assert await second == "b"


async def test_the_last_caller_that_leaves_ends_the_list() -> None:
    family = Echo()
    family.hold("a")
    (first,) = joined(client(family), "a")
    await happens(family.began["a"])
    first.cancel()
    await happens(family.ended)
    assert family.stopped == ["a"]


async def test_a_caller_that_leaves_before_its_list_does_is_not_in_it() -> None:
    family = Echo()
    first, second = joined(client(family), "a", "b")
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "b"
    assert family.asked == ["b"]


async def test_the_deadline_of_one_call_ends_that_call_alone() -> None:
    family = Echo()
    family.hold("late", "b")
    calls = client(family)
    (other,) = joined(calls, "b")
    late = asyncio.ensure_future(calls.call("texts", "embed", Asked("late"), timeout_s=0.01))
    with pytest.raises(DeadlineExceeded):
        await late
    await happens(family.ended)
    assert family.stopped == ["late"]
    family.release("b")
    assert await other == "b"


async def test_a_call_that_fails_fails_alone_and_shows_no_internals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    family = Echo()

    def fail() -> Any:
        raise ValueError(SECRET)

    family.answers["bad"] = fail
    bad, good = joined(client(family), "bad", "good")
    with caplog.at_level(logging.ERROR), pytest.raises(InternalError) as caught:
        await bad
    assert SECRET not in caught.value.message
    assert SECRET in caplog.text
    assert await good == "good"


@pytest.mark.parametrize(
    "raised", [SystemExit(1), asyncio.CancelledError(), BackPressureError(9, 9)]
)
async def test_whatever_a_call_raises_is_an_internal_error_of_its_own(
    raised: BaseException,
) -> None:
    family = Echo()

    def fail() -> Any:
        raise raised

    family.answers["bad"] = fail
    bad, good = joined(client(family), "bad", "good")
    with pytest.raises(InternalError):
        await bad
    assert await good == "good"


async def test_an_answer_that_cannot_be_pickled_fails_alone() -> None:
    family = Echo()
    family.answers["bad"] = lambda: lambda: None
    bad, good = joined(client(family), "bad", "good")
    with pytest.raises(InternalError):
        await bad
    assert await good == "good"


async def test_a_problem_is_raised_under_the_routes_name_of_the_field() -> None:
    family = Echo()
    family.answers["a"] = lambda: Problem("validation", "too long", "texts")
    with pytest.raises(ValidationFailed) as caught:
        await client(family).call("texts", "embed", Asked("a"), {"texts": "input"})
    assert caught.value.field == "input"
