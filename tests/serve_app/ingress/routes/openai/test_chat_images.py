"""Images in chats: which model reads them, and what is refused by name."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from deployments.seam.generation import ChatImage, ChatMessage, GenerationRequest
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, generated
from tests.serve_app.local_handle import Family

PNG = base64.b64decode(RED_DOT.partition(",")[2])


def image(url: str = RED_DOT, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


async def posted(family: Family, *content: Any, role: str = "user", **body: Any) -> httpx.Response:
    application = house.app({"generation": family}, max_chat_images=2)
    messages = [{"role": role, "content": list(content)}]
    return await house.post(application, "/v1/chat/completions", {"messages": messages, **body})


async def test_images_reach_a_model_that_reads_them_in_their_places() -> None:
    family = Family(generated("red"))
    parts = (words("a"), image(detail="low"), words("bc"), image())
    response = await posted(family, *parts)
    assert response.json()["model"] == FULL
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    images = (ChatImage(PNG, 1), ChatImage(PNG, 3))
    assert request.messages == (ChatMessage("user", "abc", images=images),)


async def test_a_model_that_reads_none_is_refused_with_those_that_do() -> None:
    response = await posted(Family(), words("a"), image(), model=FAST)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["message"] == f"{FAST} reads no images. These models can: {FULL}."
    assert error["param"] == "messages.0.content.1"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://a.example/b.png", "is a URL, and this server does not fetch images"),
        ("/etc/passwd.png", "is the path of a file"),
        ("data:image/png;base64,AAAA", "is not an image"),
        ("data:image/png,AAAA", "without ;base64"),
        ("data:,", "without ;base64"),
        ("", "is empty"),
    ],
)
async def test_what_is_no_image_is_named(url: str, message: str) -> None:
    response = await posted(Family(), words("a"), image(url))
    error = response.json()["error"]
    assert response.status_code == 400
    assert message in error["message"]
    assert error["param"] == "messages.0.content.1.image_url.url"


async def test_a_chat_has_a_bounded_number_of_images() -> None:
    response = await posted(Family(), image(), image(), image())
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "A chat has at most 2 images, not 3."


@pytest.mark.parametrize("role", ["system", "assistant"])
async def test_only_a_users_message_has_images(role: str) -> None:
    response = await posted(Family(), image(), role=role)
    assert response.status_code == 400
    assert "only a user's message has images" in response.json()["error"]["message"]
