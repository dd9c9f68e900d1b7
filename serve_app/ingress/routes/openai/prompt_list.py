"""The prompts of ``/v1/completions``: one or many, as texts or as token ids."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from configs.settings import Settings
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.validation.fields import Text, TokenId
from serve_app.ingress.validation.limits import check_count, check_prompt

MAX_PROMPTS = 2048
"""Of one request; the settings' ``max_texts`` may be less."""

MAX_NEW_TOKENS = 2**20
"""New tokens that a list of prompts may ask for in all, by ``n`` and ``max_tokens``."""

LOGPROB_TOKENS = 16
"""A token with log-probabilities counts as 16 tokens: its entry takes about 16 times the bytes."""

TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]


def _form(given: Any) -> str:
    """Which of the four forms was meant, so that the others' errors are not reported."""
    match given:
        case [list(), *_]:
            return "list[ids]"
        case [int() | float(), *_]:
            return "ids[]"
        case list():
            return "list[str]"
    return "str"


Prompts = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS), Tag("list[str]")]
    | Annotated[TokenIds, Tag("ids[]")]
    | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS), Tag("list[ids]")],
    Discriminator(_form),
]


def prompt_list(given: Any) -> list[str | list[int]]:
    """The prompts one by one: one list of token ids is one prompt."""
    if isinstance(given, str):
        return [given]
    return [given] if isinstance(given[0], int) else list(given)


def check_prompts(
    prompts: list[str | list[int]],
    settings: Settings,
    *,
    choices: int,
    tokens: int,
    logprobs: bool,
    echoed: bool,
    scored: bool,
) -> None:
    """Bound the prompts of one request, and the ``tokens`` that each of their choices may have.

    With ``echoed`` every choice repeats its prompt, with ``scored`` the prompt's log-probabilities
    too. Raises :class:`ValidationFailed`.
    """
    check_count(len(prompts), settings, "prompt")
    for prompt in prompts:
        if isinstance(prompt, str):
            check_prompt(prompt, settings, "prompt")
    repeated = choices * sum(map(_most_tokens, prompts))
    if echoed and repeated > settings.max_body_bytes:
        message = f"With echo, prompts times n have up to {settings.max_body_bytes} bytes."
        raise ValidationFailed(message, field="prompt")
    if scored and repeated > MAX_NEW_TOKENS // LOGPROB_TOKENS:
        limit = MAX_NEW_TOKENS // LOGPROB_TOKENS
        message = f"With echo and logprobs, prompts times n have up to {limit} tokens or bytes."
        raise ValidationFailed(message, field="prompt")
    wanted = len(prompts) * choices * tokens * (LOGPROB_TOKENS if logprobs else 1)
    if len(prompts) > 1 and wanted > MAX_NEW_TOKENS:
        limit = MAX_NEW_TOKENS // (LOGPROB_TOKENS if logprobs else 1)
        message = f"{len(prompts)} prompts with {choices} choices of {tokens} tokens each are more"
        raise ValidationFailed(f"{message} than {limit} new tokens.", field="max_tokens")


def _most_tokens(prompt: str | list[int]) -> int:
    """As many tokens as a prompt can have: a text has at most one a byte."""
    return len(prompt.encode()) if isinstance(prompt, str) else len(prompt)
