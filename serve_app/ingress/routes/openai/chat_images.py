"""The images of a chat's messages: how many there are, and their checked files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deployments.seam.generation import ChatImage, ChatMessage
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.images import IMAGE
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.openai.messages import Message


def image_needs(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """The field of each image, and the capability that it needs of a model."""
    for index, message in enumerate(messages):
        for part, _, _ in message.images:
            yield f"messages.{index}.content.{part}", "images"


async def with_images(messages: Sequence[Message], services: Services) -> tuple[ChatMessage, ...]:
    """The messages with the files of their images.

    Raises :class:`ValidationFailed` for too many images or one that is a URL, and what
    :func:`serve_app.ingress.images.checked` raises.
    """
    count = sum(1 for message in messages for _ in message.images)
    if count > services.settings.max_chat_images:
        limit = services.settings.max_chat_images
        message = f"A chat has at most {limit} images, not {count}."
        raise ValidationFailed(message, field="messages")
    found: list[ChatMessage] = []
    for index, each in enumerate(messages):
        images: list[ChatImage] = []
        for part, offset, url in each.images:
            field = f"messages.{index}.content.{part}.image_url.url"
            file = await services.files.received(url, IMAGE, services.settings, field)
            images.append(ChatImage(file, offset))
        found.append(each.plain(tuple(images)))
    return tuple(found)
