"""Every route that takes an image takes its URL, where that is enabled, and only there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from configs.settings import Settings
from serve_app.ingress.documentation.openapi import completed
from serve_app.ingress.file_intake import FileIntake
from serve_app.ingress.routes.huggingface.images import DetectionBody
from serve_app.ingress.routes.vision import RED_DOT, DetectBody
from tests.serve_app.every_task import MODEL, EveryTask, application
from tests.serve_app.ingress.image_urls.web import PNG, PUBLIC, Web, answer, web

URL = "http://a.example/a.png"
PAGES = {"/a.png": answer()}
NATIVE = "/api/v1/huggingface"
QUESTION, LABELS = {"question": "What?"}, {"labels": ["a"]}
PART = {"type": "image_url", "image_url": {"url": URL}}
CHAT = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, PART]}]}
INPUT = {"type": "input_image", "image_url": URL}
BLOCK = {"type": "image", "source": {"type": "url", "url": URL}}
STEP = {"id": "a", "task": "caption", "inputs": {"image": "$input.photo"}}
CALL = {"name": "detect", "arguments": {"image": URL}}
ROUTES: Mapping[str, dict[str, Any]] = {
    f"{NATIVE}/vision/classify": {"image": URL},
    f"{NATIVE}/vision/zero-shot": {"image": URL, **LABELS},
    f"{NATIVE}/vision/caption": {"image": URL},
    f"{NATIVE}/vision/question": {"image": URL, **QUESTION},
    f"{NATIVE}/vision/detect": {"image": URL},
    f"{NATIVE}/vision/segment": {"image": f" {URL}\n"},
    f"{NATIVE}/graph": {"steps": [STEP], "input": {"photo": URL}},
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"input": [{"role": "user", "content": [INPUT]}]},
    "/v1/messages": {"max_tokens": 5, "messages": [{"role": "user", "content": [BLOCK]}]},
    "/tokenize": CHAT,
    f"/models/{MODEL}/pipeline/image-classification": {"inputs": URL},
    f"/models/{MODEL}/pipeline/visual-question-answering": {"inputs": URL, **QUESTION},
    f"/models/{MODEL}/v1/chat/completions": CHAT,
    "/mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL},
}
ERRORS_IN_ANSWERS = ("/graph", "/mcp")


class Recorder(EveryTask):
    """Gives the images that reached it, once."""

    def images(self) -> list[bytes]:
        found = []
        for request in self.requests:
            messages = getattr(request, "messages", ())
            found += [image.file for message in messages for image in message.images]
            found += [request.image] if hasattr(request, "image") else []
        self.requests.clear()
        return found


@pytest.fixture(scope="module")
def family() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def app(family: Recorder) -> FastAPI:
    return application(family, image_urls=True, max_body_bytes=2500, max_inflight_body_bytes=2500)


@contextmanager
def fetching(app: FastAPI, net: Web) -> Iterator[None]:
    """Let the application reach ``net``."""
    before = app.state.services
    app.state.services = replace(before, files=FileIntake(downloads=net.downloads()))
    yield
    app.state.services = before


async def sent(app: FastAPI, route: str, **request: Any) -> httpx.Response:
    headers = {"accept": "application/json, text/event-stream"} if route == "/mcp" else {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        return await client.post(route, headers=headers, **request)


async def test_a_model_reads_the_image_at_the_url(app: FastAPI, family: Recorder) -> None:
    async with web(PAGES) as net:
        for route, body in ROUTES.items():
            with fetching(app, net):
                response = await sent(app, route, json=body)
            assert response.status_code == 200, (route, response.text)
            assert family.images() == [PNG], route
            assert net.connected == [PUBLIC], route
            net.connected.clear()


async def test_a_private_address_is_refused_by_its_field(app: FastAPI, family: Recorder) -> None:
    async with web(PAGES) as net:
        for route, body in ROUTES.items():
            inside = json.loads(json.dumps(body).replace("a.example", "inside.example"))
            with fetching(app, net):
                response = await sent(app, route, json=inside)
            assert route.endswith(ERRORS_IN_ANSWERS) or response.status_code == 400
            text = response.text
            assert "could not be fetched from its URL" in text, route
            assert any(each in text for each in ("image", "inputs", "messages", "input"))
            assert "10.0.0.1" not in text
            assert family.requests == net.connected == []


async def test_urls_are_refused_unless_they_are_enabled(app: FastAPI, family: Recorder) -> None:
    """The services of a graph whose setting is off have no downloads."""
    for route, body in ROUTES.items():
        response = await sent(app, route, json=body)
        assert route.endswith(ERRORS_IN_ANSWERS) or response.status_code == 400
        assert "this server does not fetch images" in response.text, route
        assert family.requests == []


async def test_images_of_a_chat_keep_their_places(app: FastAPI, family: Recorder) -> None:
    other = answer(PNG + b"\0")
    parts = [
        {"type": "image_url", "image_url": {"url": url}}
        for url in ("http://a.example/a.png", RED_DOT, "http://b.example/b.png")
    ]
    async with web({**PAGES, "/b.png": other}) as net:
        chat = {"messages": [{"role": "user", "content": parts}]}
        with fetching(app, net):
            response = await sent(app, "/v1/chat/completions", json=chat)
    assert response.status_code == 200, response.text
    first, middle, last = family.images()
    assert (first, last) == (PNG, PNG + b"\0")
    assert middle not in (first, last)


async def test_steps_of_a_graph_share_a_download(app: FastAPI, family: Recorder) -> None:
    steps = [STEP, {**STEP, "id": "b", "task": "detect"}]
    async with web(PAGES) as net:
        body = {"steps": steps, "input": {"photo": URL}}
        with fetching(app, net):
            response = await sent(app, f"{NATIVE}/graph", json=body)
    assert response.status_code == 200
    assert family.images() == [PNG, PNG]
    assert net.connected == [PUBLIC]


@pytest.mark.parametrize(
    ("page", "status"),
    [(answer(b"a text"), 400), (answer(b"\0\0\0\x18ftypheic"), 415), (answer(b""), 400)],
)
async def test_a_file_that_is_no_image_is_refused_as_if_it_had_been_sent(
    app: FastAPI, page: bytes, status: int
) -> None:
    async with web({"/a.png": page}) as net:
        with fetching(app, net):
            response = await sent(app, f"{NATIVE}/vision/caption", json={"image": URL})
    assert response.status_code == status
    assert set(response.json()["details"]["field_errors"]) == {"image"}


async def test_what_is_fetched_counts_as_memory_of_the_request_until_it_is_answered(
    app: FastAPI, family: Recorder
) -> None:
    """All requests together may hold 2500 bytes here."""
    async with web({"/a.png": answer(PNG + bytes(2000 - len(PNG)))}) as net:
        with fetching(app, net):
            for _ in range(3):
                response = await sent(app, f"{NATIVE}/vision/caption", json={"image": URL})
                assert response.status_code == 200
            parts = [PART, {"type": "text", "text": "a" * 600}]
            chat = {"messages": [{"role": "user", "content": parts}]}
            full = await sent(app, "/v1/chat/completions", json=chat)
    assert (full.status_code, full.headers["retry-after"]) == (429, "2")
    assert len(family.images()) == 3


async def test_the_tools_of_mcp_say_that_urls_are_taken(app: FastAPI) -> None:
    listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    tools = (await sent(app, "/mcp", json=listed)).json()["result"]["tools"]
    fields = {tool["name"]: tool["inputSchema"]["properties"] for tool in tools}
    assert "http(s) URL" in fields["detect"]["image"]["description"]
    assert "URL" not in fields["transcribe"]["audio"]["description"]


def test_the_openapi_document_says_whether_urls_are_taken() -> None:
    for enabled in (True, False):
        schemas = {"A": DetectBody.model_json_schema(), "B": DetectionBody.model_json_schema()}
        document = {"paths": {}, "components": {"schemas": schemas}}
        found = completed(document, Settings(image_urls=enabled))["components"]["schemas"]
        for field in (found["A"]["properties"]["image"], found["B"]["properties"]["inputs"]):
            assert ("http(s) URL" in field["description"]) is enabled
            assert (re.search(field["pattern"], URL) is not None) is enabled
            assert re.search(field["pattern"], RED_DOT)
