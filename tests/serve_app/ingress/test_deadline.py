"""Deadlines that clients set: what is not answered by then is a 504, and nobody works on it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from serve_app.ingress.cluster.attempts import Attempts
from serve_app.ingress.deadline import HEADER, Deadlines
from serve_app.ingress.errors import DeadlineExceeded
from serve_app.ingress.routes.dialects import error_answers
from tests.serve_app import house
from tests.serve_app.house import NATIVE, burst, events, generated
from tests.serve_app.ingress.front.fronting import asked
from tests.serve_app.ingress.metering.counting import counted
from tests.serve_app.local_handle import FOREVER, Family, happens

GENERATE = f"{NATIVE}/generate"
SOON = {HEADER: "0.05"}
PROMPT = {"prompt": "Hi"}
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def stuck(*earlier: Any, **settings: Any) -> tuple[Any, Family]:
    """An application whose generation answers ``earlier``, and then never."""
    family = Family(*earlier, *[FOREVER] * 3)
    return house.app({"generation": family}, **settings), family


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e3", "2 s", "", "0.0"])
async def test_a_deadline_that_is_no_time_is_refused_by_name(value: str) -> None:
    application, family = stuck()
    native = await house.post(application, GENERATE, PROMPT, **{HEADER: value})
    assert native.status_code == 400
    assert HEADER in native.json()["details"]["field_errors"]
    openai = await house.post(application, "/v1/chat/completions", CHAT, **{HEADER: value})
    assert openai.json()["error"]["param"] == HEADER
    assert not family.asked


async def test_an_answer_in_time_is_an_answer() -> None:
    application = house.app({"generation": Family(generated(" there"))})
    response = await house.post(application, GENERATE, PROMPT, **{HEADER: "30.5"})
    assert response.json()["generated_text"] == "there"


@pytest.mark.parametrize(
    ("path", "body"),
    [(GENERATE, PROMPT), ("/v1/chat/completions", CHAT), ("/v1/completions", PROMPT)],
)
async def test_an_answer_that_is_late_for_its_client_is_a_504(path: str, body: Any) -> None:
    application, family = stuck()
    response = await house.post(application, path, body, **SOON)
    assert response.status_code == 504
    kind = response.json().get("error_type") or response.json()["error"]["code"]
    assert kind == "timeout"
    if family.asked:  # on a busy machine the time is over before
        await happens(family.stopped)


async def test_a_late_answer_is_counted() -> None:
    application, _ = stuck()
    await house.post(application, GENERATE, PROMPT, **SOON)
    found = await counted(application)
    assert found["rejections_total", "generate", "timeout"] == 1


async def test_no_client_has_longer_than_the_setting() -> None:
    application, _ = stuck(request_timeout_s=0.05)
    response = await house.post(application, GENERATE, PROMPT, **{HEADER: "100000"})
    assert response.status_code == 504


async def test_a_stream_that_has_begun_ends_by_an_error_at_its_deadline() -> None:
    family = Family([burst("a"), FOREVER])
    application = house.app({"generation": family})
    response = await house.post(application, f"{GENERATE}/stream", PROMPT, **{HEADER: "1"})
    assert response.status_code == 200
    (_, first), (name, error) = events(response.text)
    assert first["text_delta"] == "a"
    assert (name, error["code"]) == ("error", "timeout")
    await happens(family.stopped)


async def test_a_stream_that_only_waits_ends_by_an_error_at_its_deadline() -> None:
    family = Family([FOREVER])
    application = house.app({"generation": family}, heartbeat_s=0.01)
    response = await house.post(application, f"{GENERATE}/stream", PROMPT, **{HEADER: "1"})
    assert events(response.text)[-1][1]["code"] == "timeout"
    await happens(family.stopped)


async def test_the_steps_of_a_graph_share_its_deadline() -> None:
    application, family = stuck(generated("one"))
    steps = [
        {"id": "a", "task": "generate", "inputs": {"prompt": "Hi"}},
        {"id": "b", "task": "generate", "inputs": {"prompt": "$a.generated_text"}},
        {"id": "c", "task": "generate", "inputs": {"prompt": "$b.generated_text"}},
    ]
    body = {"steps": steps, "outputs": ["a", "c"]}
    response = await house.post(application, f"{NATIVE}/graph", body, **{HEADER: "1"})
    first, second, third = response.json()["steps"]
    assert first["status"] == "ok"
    assert second["error"]["error_type"] == "timeout"
    assert third["status"] == "skipped" or third["error"]["error_type"] == "timeout"
    assert len(family.asked) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_the_wait_for_a_conversation_counts(stream: bool, tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'conversations.sqlite3'}"
    application, family = stuck(conversations_url=url, heartbeat_s=0.01)
    path, body = f"{NATIVE}/conversations/ada/messages", {"message": "Hi"}
    busy = house.Connection(application, path, body)
    await happens(family.began)
    waiting = await house.post(application, path, body | {"stream": stream}, **{HEADER: "1"})
    found = events(waiting.text)[-1][1]["code"] if stream else waiting.json()["error_type"]
    assert found == "timeout"
    assert len(family.asked) == 1
    busy.left.set()
    busy.done.cancel()
    await asyncio.wait({busy.done})
    await application.state.conversations.close()


async def test_a_request_that_arrives_too_late_is_not_begun() -> None:
    family = Family(generated(" there"))
    application = house.app({"generation": family})
    body = b'{"prompt": "Hi"}'

    async def slow_body() -> Any:
        yield body[:3]
        await asyncio.sleep(0.1)
        yield body[3:]

    headers = [(HEADER, "0.05"), ("content-type", "application/json")]
    response = await asked(application, GENERATE, content=slow_body(), headers=headers)
    assert response.status_code == 504
    assert not family.asked


async def test_a_call_behind_the_deadline_is_not_made() -> None:
    with pytest.raises(DeadlineExceeded):
        Attempts(-0.001, 1.0).check()


async def test_whatever_else_a_request_waits_for_ends_at_its_deadline() -> None:
    """As a database that does not answer."""
    application = house.app()

    @application.get("/slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    response = await house.get(application, "/slow", **SOON)
    assert response.status_code == 504
    assert response.json()["error_type"] == "timeout"


async def test_an_answer_that_begins_as_the_time_ends_is_the_only_one() -> None:
    """As one that a call's own deadline makes, while the request is being cancelled."""

    async def answers_late(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await PlainTextResponse("late", 504)(scope, receive, send)

    app = Deadlines(answers_late, error_answers())
    now = asyncio.get_running_loop().time()
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "state": {"deadline": now - 1.0}, "headers": []}
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 504
