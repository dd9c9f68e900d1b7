"""The affinity key of a request: requests with the same key should reach the same replica.

A replica that has read a prompt keeps its beginning in the prefix cache. The key is the session, if
there is one, else a hash of the prompt's beginning, which the later turns of a chat share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b

from deployments.seam.decisions import DecisionRequest
from deployments.seam.generation import ChatMessage, GenerationRequest

MAX_CHARACTERS = 1024
"""Of each text that is hashed: some 250 tokens."""

MAX_TOKENS = 256
"""Of a prompt that is given as tokens."""


def affinity_key(request: object) -> bytes | None:
    """The key of ``request``, 16 bytes; ``None`` for requests that use no prefix cache."""
    if isinstance(request, GenerationRequest):
        parts = _parts(request)
    elif isinstance(request, DecisionRequest):
        parts = iter([request.session or json.dumps(request.state)[:MAX_CHARACTERS]])
    else:
        return None
    hashed = blake2b(digest_size=16)
    for part in parts:
        hashed.update(part.encode("utf-8", "surrogatepass"))
        hashed.update(b"\0")
    return hashed.digest()


def _parts(request: GenerationRequest) -> Iterator[str]:
    if request.session:
        yield request.session
    elif request.messages is not None:
        yield from _first_messages(request.messages)
    elif request.prompt_ids is not None:
        yield repr(request.prompt_ids[:MAX_TOKENS])
    else:
        yield (request.prompt or "")[:MAX_CHARACTERS]


def _first_messages(messages: tuple[ChatMessage, ...]) -> Iterator[str]:
    """Up to the user's first message, since later turns repeat these and add others."""
    for message in messages:
        yield message.role
        yield message.content[:MAX_CHARACTERS]
        if message.role == "user":
            return
