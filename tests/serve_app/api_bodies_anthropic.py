"""Requests with every honoured field, for each body of Anthropic's API."""

from __future__ import annotations

from typing import Any

from serve_app.ingress.routes.anthropic.body import CountTokensBody, MessagesBody
from serve_app.ingress.routes.vision import RED_DOT
from serve_app.ingress.validation.fields import Body
from tests.serve_app.api_body_parts import HI, SCHEMA, Bodies
from tests.serve_app.every_task import MODEL

PICTURE = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": RED_DOT.partition(",")[2],
    },
}
PROMPTED: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking"},
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": "b"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "1",
                    "content": [{"type": "text", "text": "done"}],
                }
            ],
        },
    ],
    "model": MODEL,
    "system": [{"type": "text", "text": "Be short."}],
    "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
}
FORMATTED = {
    "messages": HI,
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "thinking": {"type": "disabled"},
}
LINKED = {"type": "image", "source": {"type": "url", "url": RED_DOT}}
PICTURED = {"messages": [{"role": "user", "content": [PICTURE, LINKED]}]}
OFFERED = {"messages": HI, "tools": PROMPTED["tools"], "tool_choice": {"type": "auto"}}
MESSAGES: Bodies = [
    {
        **PROMPTED,
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["x"],
        "stream": True,
    },
    {**FORMATTED, "max_tokens": 5},
    {**OFFERED, "max_tokens": 5},
    {**PICTURED, "max_tokens": 5},
]

ANTHROPIC: dict[type[Body], Bodies] = {
    MessagesBody: MESSAGES,
    CountTokensBody: [PROMPTED, FORMATTED, OFFERED, PICTURED],
}
