"""A request's prompt as token ids, and how many new tokens may follow it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from deployments.engine.grammar.constraint import Constraint
from deployments.engine.interface import Engine
from deployments.engine.sequence import Arrays
from deployments.seam.generation import ChatMessage, GenerationRequest
from deployments.seam.problems import Problem, over_window


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt's token ids, how many new tokens may follow, and the grammar that they follow.

    ``inputs`` are the tensors of its images.
    """

    ids: tuple[int, ...]
    max_new_tokens: int
    constraint: Constraint | None = None
    inputs: Arrays = field(default_factory=dict)


def prompt_characters(prompt: str | None, messages: Iterable[ChatMessage] | None) -> int:
    """The length of what is to be tokenized. Token ids that are given take no time."""
    return len(prompt or "") + sum(len(each.content) for each in messages or ())


def encode_prompt(engine: Engine, request: GenerationRequest) -> list[int] | Problem:
    """The token ids of the request's prompt, chat or given tokens, or why it has none."""
    ids = _whole_prompt(engine, request)
    if isinstance(ids, Problem):
        return ids
    kept = len(ids) if request.keep_last is None else request.keep_last
    if request.truncate and request.messages is None:
        kept = min(kept, _room(engine, request))
    return ids[-kept:]


def _whole_prompt(engine: Engine, request: GenerationRequest) -> list[int] | Problem:
    codec = engine.codec
    if request.prompt_ids is not None:
        problem = unknown_token(request.prompt_ids, engine, "prompt")
        return list(request.prompt_ids) if problem is None else problem
    try:
        if request.messages is None:
            return codec.encode(request.prompt or "")
        return _chat(engine, request, request.messages)
    except ValueError as error:
        return Problem("validation", str(error), "prompt")


def _chat(
    engine: Engine, request: GenerationRequest, messages: tuple[ChatMessage, ...]
) -> list[int] | Problem:
    codec = engine.codec
    variables = template_variables(engine, request)
    if isinstance(variables, Problem):
        return variables
    if request.trim_oldest:
        messages = codec.trim_oldest(messages, _room(engine, request))
    encode = partial(codec.encode_chat, tools=request.tools, variables=variables)
    if request.truncate:
        messages = codec.truncate(messages, _room(engine, request), encode)
    return encode(messages)


def template_variables(engine: Engine, request: GenerationRequest) -> dict[str, Any] | Problem:
    """The request's variables of the chat template; none of them may be one of the model's own."""
    variables = json.loads(request.template_variables) if request.template_variables else {}
    own = next((name for name in variables if name in engine.codec.special_tokens), None)
    if own is None:
        return dict(variables)
    message = f"{own} is the model's own: a request cannot set it"
    return Problem("validation", message, "template_variables")


def _room(engine: Engine, request: GenerationRequest) -> int:
    """The maximum tokens of a prompt that leave room for the new ones."""
    return max(1, engine.window - (request.max_new_tokens or 1))


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
        message = f"the prompt has {prompt}, which leaves no room for an answer"
        return Problem("context_length", f"{over_window(window)}; {message}", "prompt")
    if request.max_length is not None and prompt >= request.max_length:
        message = f"the prompt has {prompt} tokens, which leaves none of {request.max_length}"
        return Problem("validation", message, "max_length")
    wanted = request.max_new_tokens
    if wanted is not None and prompt + wanted > window:
        message = f"the prompt has {prompt}, and {wanted} new ones were asked for"
        return Problem("context_length", f"{over_window(window)}; {message}", "max_new_tokens")
    bounds = [window, request.max_length or window, prompt + (wanted or window)]
    return min(bounds) - prompt
