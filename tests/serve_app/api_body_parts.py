"""What bodies of several APIs have in common: messages, an image, a tool, a schema."""

from __future__ import annotations

from typing import Any

from serve_app.ingress.routes.vision import RED_DOT

Bodies = list[dict[str, Any]]

HI = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
TOOL = {"type": "function", "function": FUNCTION}
ARGUMENTS = '{"a": "x"}'
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}
CHAT = [
    {"role": "system", "content": [{"type": "text", "text": "Be short."}]},
    {"role": "user", "content": "Hi", "name": "ada"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "done", "tool_call_id": "1"},
]
LOOK = {"type": "image_url", "image_url": {"url": RED_DOT, "detail": "low"}}
SEEN = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, LOOK]}]
