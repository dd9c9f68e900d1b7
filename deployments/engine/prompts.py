"""A request's prompt as token ids, and how many new tokens may follow it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deployments.engine.grammar.constraint import Constraint
from deployments.engine.interface import Engine
from deployments.seam.generation import GenerationRequest
from deployments.seam.problems import Problem


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt's token ids, how many new tokens may follow, and the grammar that they follow."""

    ids: tuple[int, ...]
    max_new_tokens: int
    constraint: Constraint | None = None


def encode_prompt(engine: Engine, request: GenerationRequest) -> list[int] | Problem:
    """The token ids of the request's prompt, chat or given tokens, or why it has none."""
    codec, messages = engine.codec, request.messages
    if request.prompt_ids is not None:
        problem = unknown_token(request.prompt_ids, engine, "prompt")
        return list(request.prompt_ids) if problem is None else problem
    try:
        if messages is not None:
            tokens = engine.window - (request.max_new_tokens or 1)
            if request.trim_oldest:
                messages = codec.trim_oldest(messages, tokens)
            if request.truncate:
                messages = codec.truncate(messages, tokens)
            return codec.encode_chat(messages, request.tools)
        ids = codec.encode(request.prompt or "")
        return ids if request.keep_last is None else ids[-request.keep_last :]
    except ValueError as error:
        return Problem("validation", str(error), "prompt")


def unknown_token(ids: Iterable[int], engine: Engine, field: str) -> Problem | None:
    """The problem with the first of ``ids`` that is not in the model's vocabulary."""
    size = engine.codec.vocab_size
    wrong = next((token for token in ids if not 0 <= token < size), None)
    if wrong is None:
        return None
    return Problem("validation", f"the model has no token {wrong}: it knows {size}", field)


def available_tokens(prompt: int, window: int, request: GenerationRequest) -> int | Problem:
    """How many new tokens may follow ``prompt`` tokens.

    It is a problem, and the prompt is not cut, when the request's bounds do not fit the window.
    """
    if prompt == 0:
        return Problem("validation", "the prompt has no tokens", "prompt")
    if prompt >= window:
        message = f"the prompt has {prompt} tokens; the model's window is {window}"
        return Problem("validation", f"{message} and leaves no room for an answer", "prompt")
    if request.max_length is not None and prompt >= request.max_length:
        message = f"the prompt has {prompt} tokens, which leaves none of {request.max_length}"
        return Problem("validation", message, "max_length")
    wanted = request.max_new_tokens
    if wanted is not None and prompt + wanted > window:
        message = f"{wanted} new tokens after a prompt of {prompt} pass the window of {window}"
        return Problem("validation", message, "max_new_tokens")
    bounds = [window, request.max_length or window, prompt + (wanted or window)]
    return min(bounds) - prompt
