"""Calls: every way that a replica can fail has one answer, and nobody works for one who left."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from deployments.seam.generation import GenerationRequest, TokenChunk
from deployments.seam.problems import Problem
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.handle_router import HandleRouter
from serve_app.ingress.errors import DeadlineExceeded, ServiceError, TooManyRequests, Unavailable
from tests.serve_app.house import burst
from tests.serve_app.local_handle import (
    FOREVER,
    PATIENCE_S,
    Family,
    LocalBroadcast,
    LocalHandle,
    happens,
)

REQUEST = GenerationRequest("id-1", "house/fast", prompt="Hi", max_new_tokens=9)
SECRET = "/home/inside/model.py line 7"
REFUSED = Problem("validation", "too long", "max_new_tokens")
LOST = RayActorError(error_msg=SECRET)


def raised_by_the_family(cause: Exception) -> Exception:
    """An exception as Ray brings it from a replica: of its own kind, and a ``RayTaskError``."""
    task_error: Any = RayTaskError
    wrapped: Exception = task_error("generate", SECRET, cause).as_instanceof_cause()
    return wrapped


FAILURES: list[tuple[Exception, int]] = [
    (BackPressureError(9, 9), 429),
    (ReplicaUnavailableError("replica-1"), 503),
    (RequestCancelledError("id-1"), 503),
    (TaskCancelledError(error_message=SECRET), 503),
    (RayError(SECRET), 500),
    (RayServeException(SECRET), 500),
    (raised_by_the_family(ValueError(SECRET)), 500),
    (raised_by_the_family(TimeoutError(SECRET)), 500),
]


def calls(family: Family, timeout_s: float = PATIENCE_S) -> DeploymentClient:
    return DeploymentClient({"generation": LocalHandle(family)}, timeout_s)


async def ask(family: Family, **given: Any) -> Any:
    return await calls(family).call("generation", "generate", REQUEST, **given)


async def read(family: Family, texts: list[str] | None = None) -> list[str]:
    """Every text of a stream, to its end; also in ``texts``, up to where it breaks."""
    texts = [] if texts is None else texts
    async for item in await calls(family).open_stream("generation", "stream", REQUEST):
        texts += [token.text for token in item.tokens]
    return texts


async def test_an_answer_is_handed_on() -> None:
    assert await ask(Family("an answer")) == "an answer"


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_each_failure_of_a_call_has_its_status(failure: Exception, status: int) -> None:
    with pytest.raises(ServiceError) as caught:
        await ask(Family(failure))
    assert caught.value.status == status
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_each_failure_before_the_first_token_has_its_status(
    failure: Exception, status: int
) -> None:
    with pytest.raises(ServiceError) as caught:
        await read(Family([failure]))
    assert caught.value.status == status


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_each_failure_in_a_stream_ends_it_as_an_error(
    failure: Exception, status: int
) -> None:
    bursts = await calls(Family([burst("a"), failure])).open_stream("generation", "stream", REQUEST)
    read: list[TokenChunk] = []
    with pytest.raises(ServiceError) as caught:
        read.extend([item async for item in bursts])
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


async def test_a_stream_brings_every_burst_the_first_included() -> None:
    family = Family([burst("a", "b"), burst("c", at=2, finish="stop")])
    assert await read(family) == ["a", "b", "c"]


async def test_a_problem_as_the_first_item_is_an_ordinary_error() -> None:
    family = Family([REFUSED, FOREVER])
    with pytest.raises(ServiceError) as caught:
        await calls(family).open_stream(
            "generation", "stream", REQUEST, {"max_new_tokens": "max_tokens"}
        )
    assert (caught.value.status, caught.value.field) == (400, "max_tokens")
    await happens(family.stopped)


async def test_a_problem_in_a_stream_ends_it_as_an_error() -> None:
    family = Family([burst("a"), Problem("unavailable", "no memory left"), FOREVER])
    bursts = await calls(family).open_stream("generation", "stream", REQUEST)
    iterator = aiter(bursts)
    assert (await anext(iterator)).tokens[0].text == "a"
    with pytest.raises(Unavailable, match="no memory left"):
        await anext(iterator)
    await happens(family.stopped)


async def test_a_stream_without_any_item_is_an_error_not_an_empty_answer() -> None:
    with pytest.raises(ServiceError) as caught:
        await read(Family([]))
    assert caught.value.status == 500


async def test_a_replica_lost_before_the_first_token_is_tried_once_more() -> None:
    assert await read(Family([LOST], [burst("a", finish="stop")])) == ["a"]
    with pytest.raises(Unavailable):
        await read(Family([LOST], [LOST], [burst("never")]))


async def test_a_replica_lost_in_a_stream_is_followed_by_one_that_goes_on_behind_it() -> None:
    family = Family([burst("a", "b"), LOST], [burst("c", at=2, finish="stop")])
    assert await read(family) == ["a", "b", "c"]
    first, second = family.asked
    assert first == REQUEST
    assert second.delivered == ((100, 101),)
    assert second.sampling.seed == REQUEST.sampling.seed


async def test_a_stream_that_gets_on_outlives_three_replicas_and_no_more() -> None:
    family = Family(*([burst(text, at=place), LOST] for place, text in enumerate("abcd")))
    texts: list[str] = []
    with pytest.raises(Unavailable):
        await read(family, texts)
    assert texts == ["a", "b", "c", "d"]
    assert len(family.asked) == 4


async def test_a_silent_stream_goes_on_elsewhere_once_its_replica_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve_app.ingress.cluster.chunk_stream.SILENCE_S", 0.01)
    family = Family([burst("a"), FOREVER], [burst("b", at=1, finish="stop")])
    looks = iter((False, False, True))
    monkeypatch.setattr(HandleRouter, "has_left", lambda *_: next(looks, False))
    assert await read(family) == ["a", "b"]
    assert family.asked[1].delivered == ((100,),)


async def test_a_stream_whose_last_token_has_come_needs_no_replica_any_more() -> None:
    family = Family([burst("a", finish="stop"), LOST])
    assert await read(family) == ["a"]
    assert len(family.asked) == 1


async def test_closing_a_stream_stops_the_work() -> None:
    family = Family([burst("a"), FOREVER])
    bursts = await calls(family).open_stream("generation", "stream", REQUEST)
    assert not family.stopped.is_set()
    bursts.close()
    await happens(family.stopped)


async def test_a_reader_of_a_stream_that_is_cancelled_stops_the_work() -> None:
    family = Family([burst("a"), FOREVER])
    iterator = aiter(await calls(family).open_stream("generation", "stream", REQUEST))
    await anext(iterator)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(iterator)
    await happens(family.stopped)


async def test_who_leaves_before_the_first_token_stops_the_work() -> None:
    family = Family([FOREVER])
    opening = asyncio.ensure_future(calls(family).open_stream("generation", "stream", REQUEST))
    await happens(family.began)
    opening.cancel()
    await happens(family.stopped)
    with pytest.raises(asyncio.CancelledError):
        await opening


@pytest.mark.parametrize("items", [[FOREVER], [burst("a"), FOREVER]])
async def test_the_deadline_ends_a_stream_and_its_work(items: list[Any]) -> None:
    family = Family(items)
    with pytest.raises(DeadlineExceeded):
        async for _ in await calls(family, 0.01).open_stream("generation", "stream", REQUEST):
            pass
    await happens(family.stopped)


async def test_everywhere_is_every_replica_and_one_failure_hides_no_answer() -> None:
    replicas = [Family("one"), Family(RuntimeError(SECRET)), Family(LOST), Family("four")]
    handle = LocalHandle(Family(), replicas=replicas)
    made = DeploymentClient({"generation": handle}, PATIENCE_S)
    answers = await made.broadcast("generation", "generate", REQUEST, PATIENCE_S)
    assert [a if isinstance(a, str) else a.status for a in answers] == ["one", 500, 503, "four"]
    assert all(family.asked == [REQUEST] for family in replicas)


async def test_everywhere_waits_for_no_replica_that_hangs_and_stops_its_work() -> None:
    hanging = Family(FOREVER)
    handle = LocalHandle(Family(), replicas=[Family("one"), hanging])
    made = DeploymentClient({"generation": handle}, PATIENCE_S)
    one, late = await made.broadcast("generation", "generate", REQUEST, 0.05)
    assert one == "one"
    assert isinstance(late, DeadlineExceeded)
    await happens(hanging.stopped)


async def test_everywhere_is_nobody_where_no_replica_runs() -> None:
    made = DeploymentClient({"generation": LocalHandle(Family(), replicas=[])}, PATIENCE_S)
    assert await made.broadcast("generation", "generate", REQUEST, PATIENCE_S) == []


async def test_a_handle_that_cannot_broadcast_yet_is_an_answer_too() -> None:
    class Unready(LocalHandle):
        def options(self, *, stream: bool = False, **serialization: str) -> LocalHandle:
            return self

        def broadcast(self, method: str, request: Any) -> LocalBroadcast:
            raise RuntimeError(SECRET)

    made = DeploymentClient({"generation": Unready(Family("one"))}, PATIENCE_S)
    (answer,) = await made.broadcast("generation", "generate", REQUEST, PATIENCE_S)
    assert answer.status == 500
    assert SECRET not in answer.message
