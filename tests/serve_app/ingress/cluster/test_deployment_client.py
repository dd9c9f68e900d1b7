"""Calls: every way that a replica can fail has one answer, and nobody works for one who left."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError

from serve_app.ingress.errors import DeadlineExceeded, ServiceError, TooManyRequests, Unavailable
from tests.serve_app.ingress.cluster.replica_calls import (
    FAILURES,
    LOST,
    REFUSED,
    REQUEST,
    SECRET,
    calls,
)
from tests.serve_app.local_handle import FOREVER, Family, happens


async def ask(family: Family, **given: Any) -> Any:
    return await calls(family).call("generation", "generate", REQUEST, **given)


async def test_an_answer_is_handed_on() -> None:
    assert await ask(Family("an answer")) == "an answer"


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_each_failure_of_a_call_has_its_status(failure: Exception, status: int) -> None:
    with pytest.raises(ServiceError) as caught:
        await ask(Family(failure))
    assert caught.value.status == status
    assert SECRET not in caught.value.message


async def test_what_nobody_foresaw_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(ServiceError):
        await ask(Family(RayError(SECRET)))
    assert SECRET in caplog.text


async def test_a_full_queue_says_when_to_come_again_in_whole_seconds() -> None:
    with pytest.raises(TooManyRequests) as caught:
        await ask(Family(BackPressureError(9, 9)))
    assert int(caught.value.headers["Retry-After"]) >= 1


async def test_a_lost_replica_is_tried_once_more_with_the_same_request() -> None:
    family = Family(LOST, "an answer")
    assert await ask(family) == "an answer"
    assert family.asked == [REQUEST, REQUEST]


async def test_a_second_lost_replica_is_a_503() -> None:
    family = Family(LOST, LOST, "never given")
    with pytest.raises(Unavailable) as caught:
        await ask(family)
    assert len(family.asked) == 2
    assert SECRET not in caught.value.message
    assert int(caught.value.headers["Retry-After"]) >= 1


async def test_a_problem_is_raised_under_the_routes_name_of_the_field() -> None:
    with pytest.raises(ServiceError) as caught:
        await ask(Family(REFUSED), fields={"max_new_tokens": "max_tokens"})
    assert (caught.value.status, caught.value.field) == (400, "max_tokens")


async def test_the_deadline_ends_a_call_and_its_work() -> None:
    family = Family(FOREVER)
    with pytest.raises(DeadlineExceeded):
        await calls(family, timeout_s=0.01).call("generation", "generate", REQUEST)
    await happens(family.stopped)


async def test_the_deadline_counts_for_both_attempts_together() -> None:
    with pytest.raises(DeadlineExceeded):
        await calls(Family(LOST, FOREVER), 0.01).call("generation", "generate", REQUEST)


async def test_who_stops_waiting_stops_the_work() -> None:
    family = Family(FOREVER)
    asking = asyncio.ensure_future(ask(family))
    await happens(family.began)
    assert not family.stopped.is_set()
    asking.cancel()
    await happens(family.stopped)
    with pytest.raises(asyncio.CancelledError):
        await asking
