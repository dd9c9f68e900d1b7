"""Streams count when they end, and requests that their clients leave count as cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import RayActorError

from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FAST, Connection, burst
from tests.serve_app.ingress.metering.counting import (
    CHAT,
    GENERATE,
    HELLO,
    STREAM,
    answering,
    counted,
    requests,
)
from tests.serve_app.local_handle import FOREVER, PATIENCE_S, Family, happens


async def test_a_stream_counts_when_its_last_event_has_gone() -> None:
    application = answering([burst("a"), burst("b", "c", at=1, finish="stop")])
    await house.post(application, STREAM, {"prompt": "Hi"})
    found = await counted(application)
    assert requests(found) == {(FAST, "generate", "success"): 1}
    assert found["tokens_in_total", FAST, "generate"] == 3
    assert found["tokens_out_total", FAST, "generate"] == 3
    assert found["time_to_first_token_seconds_count", FAST, "generate"] == 1
    assert found["time_per_output_token_seconds_count", FAST, "generate"] == 1
    assert found["inter_token_latency_seconds_count", FAST, "generate"] == 1
    assert found["finished_sequences_total", FAST, "generate", "stop"] == 1
    assert found["inference_duration_seconds_count", FAST, "generate"] == 1


@pytest.mark.parametrize(
    ("path", "body"), [(STREAM, {"prompt": "Hi"}), (CHAT, {**HELLO, "stream": True})]
)
async def test_a_stream_that_breaks_is_an_error_although_its_status_was_200(
    path: str, body: dict[str, Any]
) -> None:
    lost = RayActorError(error_msg="gone")
    family = Family([burst("a"), lost], [lost])
    application = house.app({"generation": family})
    response = await house.post(application, path, body)
    assert response.status_code == 200
    task = "chat" if path == CHAT else "generate"
    found = await counted(application)
    assert requests(found) == {(FAST, task, "error"): 1}
    assert found["rejections_total", task, "service_unavailable"] == 1
    assert found["tokens_out_total", FAST, task] == 1
    assert ("inference_duration_seconds_count", FAST, task) not in found


async def test_a_stream_that_fails_before_its_first_token_is_an_error() -> None:
    application = answering([Problem("validation", "too long", "prompt")])
    response = await house.post(application, STREAM, {"prompt": "Hi"})
    assert response.status_code == 400
    found = await counted(application)
    assert requests(found) == {(FAST, "generate", "error"): 1}
    assert ("time_to_first_token_seconds_count", FAST, "generate") not in found


async def test_a_client_that_leaves_its_stream_is_an_error_and_cancelled() -> None:
    family = Family([burst("a"), FOREVER])
    application = house.app({"generation": family})
    connection = Connection(application, STREAM, {"prompt": "Hi"})
    await happens(connection.first_chunk)
    assert requests(await counted(application)) == {}
    connection.left.set()
    await asyncio.wait_for(connection.done, PATIENCE_S)
    found = await counted(application)
    assert requests(found) == {(FAST, "generate", "error"): 1}
    assert found["cancelled_total", FAST, "generate"] == 1
    assert found["finished_sequences_total", FAST, "generate", "cancelled"] == 1
    assert found["tokens_out_total", FAST, "generate"] == 1
    assert not [key for key in found if key[0] == "rejections_total"]


async def test_a_request_that_serve_cancels_is_an_error_and_cancelled() -> None:
    family = Family(FOREVER)
    application = house.app({"generation": family})
    connection = Connection(application, GENERATE, {"prompt": "Hi"})
    await happens(family.began)
    connection.done.cancel()
    await asyncio.wait({connection.done}, timeout=PATIENCE_S)
    found = await counted(application)
    assert requests(found) == {(FAST, "generate", "error"): 1}
    assert found["cancelled_total", FAST, "generate"] == 1
