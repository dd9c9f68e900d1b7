"""The largest valid requests for the embedded profile, one of each kind."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from serve_app.load.texts import texts_of

NATIVE = "/api/v1/huggingface"
TEXTS = 2048


WRITING = ("/completions", "/generate", "/summarize")
"""Ends of the paths of requests to the generation family."""


@dataclass(frozen=True)
class Request:
    """One request: its path and its JSON body."""

    path: str
    body: dict[str, Any]


def heavy_requests(seed: int = 0) -> Sequence[Request]:
    """One request of each kind; each keeps its family busy for as long as is allowed."""
    mixed = texts_of("mixed", seed)
    short = texts_of("short", seed)
    texts = [mixed() for _ in range(TEXTS)]
    labels = [short() for _ in range(16)]
    chat = [{"role": "user", "content": "Write a long story about a lighthouse."}]
    image = _image(7000)
    return [
        Request("/v1/chat/completions", {"messages": chat, "n": 16, "max_tokens": 7000}),
        Request("/v1/completions", {"prompt": ["Once"] * 16, "n": 16, "max_tokens": 7000}),
        Request(f"{NATIVE}/generate", {"prompt": "Once", "max_new_tokens": 7000,
                                       "num_return_sequences": 16}),
        Request(f"{NATIVE}/summarize", {"texts": texts[:64], "max_length": 400, "min_length": 300}),
        Request(f"{NATIVE}/embeddings", {"texts": texts}),
        Request(f"{NATIVE}/classify", {"texts": texts}),
        Request(f"{NATIVE}/classify", {"texts": texts[:512], "labels": labels}),
        Request(f"{NATIVE}/entities", {"texts": texts}),
        Request(f"{NATIVE}/rerank", {"query": mixed(), "documents": texts}),
        Request(f"{NATIVE}/vision/classify", {"image": image}),
    ]  # fmt: skip


def _image(side: int) -> str:
    """An image of nearly as many pixels as are allowed, as base64."""
    content = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()
