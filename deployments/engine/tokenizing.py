"""Token ids of prompts and chats, and texts of token ids, for requests that want nothing else."""

from __future__ import annotations

from deployments.engine.interface import Engine
from deployments.engine.prompts import unknown_token
from deployments.seam.problems import Problem
from deployments.seam.tokenization import (
    DetokenizeRequest,
    DetokenizeResult,
    TokenizeRequest,
    TokenizeResult,
)


def tokenized(engine: Engine, request: TokenizeRequest) -> TokenizeResult | Problem:
    """The tokens of a prompt or a chat. It may be longer than the model's window."""
    codec = engine.codec
    try:
        if request.messages is not None:
            ids = codec.encode_chat(request.messages, request.tools)
        else:
            ids = codec.encode(request.prompt or "", special_tokens=request.special_tokens)
    except ValueError as error:
        return Problem("validation", str(error), "prompt")
    return with_texts(engine, ids)


def with_texts(engine: Engine, ids: list[int]) -> TokenizeResult:
    """The tokens with the text of each."""
    texts = tuple(engine.codec.token_text(each) for each in ids)
    return TokenizeResult(tuple(ids), texts, engine.window)


def detokenized(engine: Engine, request: DetokenizeRequest) -> DetokenizeResult | Problem:
    """The text of token ids. Ids that the model does not know are a problem."""
    problem = unknown_token(request.ids, engine, "tokens")
    if problem is not None:
        return problem
    return DetokenizeResult(engine.codec.decode(request.ids, special_tokens=True))
