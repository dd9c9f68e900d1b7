"""Messages as chat templates of transformers read them."""

from __future__ import annotations

import json
from typing import Any

from deployments.seam.generation import ChatMessage


def template_message(message: ChatMessage) -> dict[str, Any]:
    """A message as chat templates read it: the arguments of tool calls are objects, not text."""
    content = _parts_of(message) if message.images else message.content
    message_fields: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        message_fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        message_fields["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        message_fields["name"] = message.name
    return message_fields


def _parts_of(message: ChatMessage) -> list[dict[str, str]]:
    """The content as templates of vision-language models read it."""
    parts: list[dict[str, str]] = []
    begin = 0
    for image in message.images:
        parts += [*in_parts(message.content[begin : image.offset]), {"type": "image"}]
        begin = image.offset
    return parts + in_parts(message.content[begin:])


def in_parts(content: str | list[dict[str, str]]) -> list[dict[str, str]]:
    """A content as the list of its parts."""
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
