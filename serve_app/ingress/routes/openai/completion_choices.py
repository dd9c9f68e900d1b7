"""Choices of ``/v1/completions``, whole and in pieces, and the prompts that ``echo`` repeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.seam.generation import (
    FinishReason,
    GeneratedSequence,
    GenerationResult,
    PromptLogprobs,
    Token,
)
from serve_app.ingress.routes.openai.completion_logprobs import (
    Offsets,
    echoed_logprobs,
    logprobs_of,
)


@dataclass(frozen=True, slots=True)
class Echo:
    """Repeats each prompt before its ``choices`` texts.

    With ``alone`` the answer is the prompts and nothing else: the one token that the model side
    generates in any case is left out. ``prompts`` are texts, or tokens, whose text comes with
    their log-probabilities; those are shown only with ``logprobs``.
    """

    prompts: Sequence[str | list[int]]
    choices: int
    alone: bool
    logprobs: bool

    def text_of(self, choice: int) -> str:
        """The prompt of the choice with this index, if it was given as a text."""
        prompt = self.prompts[choice // self.choices]
        return prompt if isinstance(prompt, str) else ""


def whole_choices(
    answers: Sequence[GenerationResult], echo: Echo | None
) -> Iterator[dict[str, Any]]:
    """The choices of all answers, numbered through."""
    index = 0
    for answer in answers:
        for choice in answer.choices:
            yield _whole(index, choice, answer.choices[0].prompt, echo)
            index += 1


def _whole(
    index: int, choice: GeneratedSequence, prompt: PromptLogprobs | None, echo: Echo | None
) -> dict[str, Any]:
    text = choice.text
    reason: FinishReason = choice.finish_reason
    logprobs = logprobs_of(choice) if choice.logprobs else None
    if echo is not None:
        if echo.alone:
            text, reason = "", "length"
        if prompt is not None:
            shown = echoed_logprobs(prompt, None if echo.alone else choice)
            logprobs = shown if echo.logprobs else None
        text = (echo.text_of(index) if prompt is None else prompt.text) + text
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def choice_pieces(echo: Echo | None) -> Callable[[Token], list[dict[str, Any]]]:
    """A function that makes pieces of the choices from their tokens."""
    offsets: dict[int, Offsets] = defaultdict(Offsets)

    def pieces(token: Token) -> list[dict[str, Any]]:
        before = echo.text_of(token.choice) if echo and token.position == 0 else ""
        if not (before or token.text or token.logprob or token.finish_reason):
            return []
        logprobs = None
        if token.logprob:
            logprobs = offsets[token.choice].piece(token.logprob, special=token.special)
        return [
            {
                "index": token.choice,
                "text": before + token.text,
                "logprobs": logprobs,
                "finish_reason": token.finish_reason,
            }
        ]

    return pieces
