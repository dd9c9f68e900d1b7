"""Requests with every honoured field, for each body of vLLM's own routes."""

from __future__ import annotations

from serve_app.ingress.routes.vllm.classify import VllmClassifyBody
from serve_app.ingress.routes.vllm.pooling import PoolingBody
from serve_app.ingress.routes.vllm.score import ScoreBody
from serve_app.ingress.routes.vllm.tokenize import (
    DetokenizeBody,
    TokenizeChatBody,
    TokenizePromptBody,
)
from serve_app.ingress.validation.fields import Body
from tests.serve_app.api_body_parts import CHAT, SEEN, TOOL, Bodies
from tests.serve_app.every_task import MODEL

VLLM: dict[type[Body], Bodies] = {
    ScoreBody: [{"text_1": "a", "text_2": ["b"], "model": MODEL, "truncate_prompt_tokens": -1}],
    VllmClassifyBody: [
        {"input": "a", "model": MODEL, "use_activation": False, "truncate_prompt_tokens": -1}
    ],
    PoolingBody: [
        {
            "input": ["a"],
            "model": MODEL,
            "encoding_format": "base64",
            "dimensions": 1,
            "use_activation": False,
            "truncate_prompt_tokens": -1,
        }
    ],
    TokenizePromptBody: [
        {"prompt": "Hi", "model": MODEL, "add_special_tokens": False, "return_token_strs": True}
    ],
    TokenizeChatBody: [
        {"messages": CHAT, "model": MODEL, "tools": [TOOL], "return_token_strs": True},
        {"messages": SEEN, "model": MODEL},
    ],
    DetokenizeBody: [{"tokens": [1], "model": MODEL}],
}
