"""Who waits for a family that cannot be started hears so, and not only at the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from deployments.seam.generation import GenerationRequest
from serve_app.ingress.cluster import family_watch
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.family_watch import FamilyWatch
from serve_app.ingress.errors import DeadlineExceeded, Unavailable
from tests.serve_app.local_handle import FOREVER, Family, LocalHandle, happens

REQUEST = GenerationRequest("id-1", "house/fast", prompt="Hi", max_new_tokens=9)
WHY = "The model a could not be loaded: its files are missing."


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family_watch, "CHECK_S", 0.01)


async def fails(family: str) -> str | None:
    return WHY


async def starts(family: str) -> str | None:
    return None


def client(family: Family, why_not: Any, timeout_s: float = 30.0) -> DeploymentClient:
    return DeploymentClient({"vision": LocalHandle(family)}, timeout_s, why_not=why_not)


async def test_a_call_to_a_family_that_cannot_start_is_refused_and_dropped() -> None:
    family = Family(FOREVER)
    with pytest.raises(Unavailable) as refused:
        await client(family, fails).call("vision", "caption", "request")
    assert refused.value.message == f"vision cannot answer. {WHY}"
    assert int(refused.value.headers["Retry-After"]) >= 1
    await happens(family.stopped)


async def test_a_stream_of_it_is_refused_before_it_begins() -> None:
    family = Family([FOREVER])
    with pytest.raises(Unavailable):
        await client(family, fails).open_stream("vision", "stream", REQUEST)
    await happens(family.stopped)


async def test_an_answer_that_is_there_is_given_whatever_serve_says() -> None:
    assert await client(Family("seen"), fails).call("vision", "caption", "request") == "seen"


async def test_a_family_that_starts_is_waited_for_until_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        await client(Family(FOREVER), starts, 0.05).call("vision", "caption", "request")


async def test_a_family_with_replicas_is_not_asked_about() -> None:
    async def unasked(family: str) -> str | None:
        raise AssertionError(family)

    async def answer() -> str:
        await asyncio.sleep(0.05)
        return "seen"

    waited: Awaitable[str] = FamilyWatch("vision", lambda: True, unasked).wait(answer())
    assert await waited == "seen"


async def test_the_call_is_cancelled_with_who_waits_for_it() -> None:
    family = Family(FOREVER)
    waiting = asyncio.ensure_future(client(family, starts).call("vision", "caption", "request"))
    await happens(family.began)
    waiting.cancel()
    await happens(family.stopped)
