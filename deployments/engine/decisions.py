"""Typed decisions: the probabilities of a question's options are those of their labels.

As transformers' ``DecisionPipeline`` asks any chat model: each question is a prompt behind the
state, which ends where the model would write the label of an option. The state comes first, so the
prompts of one request share its part of the KV cache.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from deployments.engine.decision_prompt import question_text
from deployments.engine.interface import Engine
from deployments.engine.literal_text import ControlTokenError
from deployments.engine.prompts import available_tokens, unknown_token
from deployments.seam.decisions import DecisionQuestion, DecisionRequest, DecisionResult
from deployments.seam.generation import GenerationRequest, GenerationResult, Sampling
from deployments.seam.problems import Problem

NO_THINKING = {"enable_thinking": False}
Generate: TypeAlias = Callable[[GenerationRequest], Awaitable[GenerationResult | Problem]]


@dataclass(frozen=True, slots=True)
class QuestionPrompt:
    """A question as token ids, and the id of each option's label."""

    ids: tuple[int, ...]
    options: tuple[str, ...]
    label_ids: tuple[int, ...]
    temperature: float


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """The probability of each option, and the length of the prompt that was read for them."""

    probabilities: Mapping[str, float]
    prompt_tokens: int


class Unanswerable(Exception):
    """The problem with a question, which ends the request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


async def decide(
    request: DecisionRequest,
    tokenize: Callable[[DecisionQuestion], Awaitable[QuestionPrompt | Problem]],
    generate: Generate,
    max_running: int,
) -> DecisionResult | Problem:
    """The probabilities of all options, from one forward a question, or the first problem.

    Up to ``max_running`` questions are answered at a time, and ``tokenize`` has one of them at a
    time, so that the prompts of other requests are tokenized in between. The first problem cancels
    the other questions.
    """
    slots, tokenizing = asyncio.Semaphore(max_running), asyncio.Lock()

    async def one(question: DecisionQuestion) -> AnsweredQuestion:
        async with slots:
            async with tokenizing:
                prompt = await tokenize(question)
            if isinstance(prompt, Problem):
                raise Unanswerable(prompt)
            answer = await generate(_request(request, prompt))
        if isinstance(answer, Problem):
            raise Unanswerable(answer)
        return AnsweredQuestion(_probabilities(prompt, answer), len(prompt.ids))

    tasks = [asyncio.create_task(one(question)) for question in request.questions]
    try:
        answers = await asyncio.gather(*tasks)
    except Unanswerable as error:
        return error.problem
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # until they have stopped
    tokens = sum(each.prompt_tokens for each in answers)
    return DecisionResult(tuple(each.probabilities for each in answers), tokens)


def _request(request: DecisionRequest, prompt: QuestionPrompt) -> GenerationRequest:
    return GenerationRequest(
        request_id=request.request_id,  # the same for all: they count as one request
        session=request.session,
        model=request.model,
        prompt_ids=prompt.ids,
        max_new_tokens=1,
        sampling=Sampling(temperature=0.0, logprobs=True, logprob_token_ids=prompt.label_ids),
    )


def _probabilities(prompt: QuestionPrompt, answer: GenerationResult) -> Mapping[str, float]:
    """The softmax over the labels alone, at the model's temperature for this kind of question."""
    scores = [each / prompt.temperature for each in answer.choices[0].logprobs[0].of_token_ids]
    largest = max(scores)
    weights = [math.exp(each - largest) for each in scores]
    total = sum(weights)
    return {option: weight / total for option, weight in zip(prompt.options, weights, strict=True)}


def question_prompt(
    engine: Engine, question: DecisionQuestion, request: DecisionRequest
) -> QuestionPrompt | Problem:
    """The prompt of one question of a request. Tokenizes, so it belongs in a thread."""
    settings = engine.codec.decisions
    if settings.unsupported:
        message = f"{request.model} cannot answer these questions here: {settings.unsupported}"
        return Problem("validation", message, "model")
    field = f"questions.{question.name}"
    names = settings.noul_options if question.kind == "noul" else tuple(question.options)
    labels = settings.labels_of(question.kind)[: len(names)]
    if len(labels) < len(names):
        message = f"the model has labels for {len(labels)} options, and these are {len(names)}"
        return Problem("validation", message, f"{field}.criteria")
    label_ids = _label_ids(engine, labels, f"{field}.criteria")
    if isinstance(label_ids, Problem):
        return label_ids
    shown = {
        "type": question.kind,
        "instructions": question.instructions,
        "options": list(names),
        "labels": list(labels),
        "descriptions": [question.options[name] for name in names],
    }
    text = question_text(request.state, shown)
    try:
        ids = tuple(engine.codec.encode_literal_chat(text, NO_THINKING))
    except ControlTokenError:
        message = "a control token in the state or in this question cannot be read as text"
        return Problem("validation", message, field)
    except ValueError as error:  # the message's shape does not depend on the client
        return Problem("validation", str(error), "model")
    one_token = _request(request, QuestionPrompt(ids, names, label_ids, 1.0))
    room = available_tokens(len(ids), engine.window, one_token)
    if isinstance(room, Problem):
        return Problem(room.kind, room.message, field)
    return QuestionPrompt(ids, names, label_ids, settings.temperature_of(question.kind))


def _label_ids(engine: Engine, labels: tuple[str, ...], field: str) -> tuple[int, ...] | Problem:
    """The token of each label, all of them different and known to the model."""
    codec = engine.codec
    ids = [codec.encode(label, special_tokens=False) for label in labels]
    found = tuple(each[0] for each in ids if len(each) == 1 and each[0] != codec.unknown_id)
    if len(set(found)) == len(labels):
        return unknown_token(found, engine, field) or found  # the prompt has them too
    message = f"the labels {', '.join(labels)} are not one token each for this model"
    return Problem("validation", message, field)
