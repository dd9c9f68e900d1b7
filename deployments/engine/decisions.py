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

from deployments.engine.decision_prompt import question_text
from deployments.engine.decision_settings import DecisionSettings
from deployments.engine.interface import Engine
from deployments.engine.prompts import available_tokens
from deployments.seam.decisions import DecisionQuestion, DecisionRequest, DecisionResult
from deployments.seam.generation import GenerationRequest, GenerationResult, Sampling
from deployments.seam.problems import Problem

NO_THINKING = {"enable_thinking": False}


@dataclass(frozen=True, slots=True)
class QuestionPrompt:
    """A question as token ids, and the id of each option's label."""

    ids: tuple[int, ...]
    options: tuple[str, ...]
    label_ids: tuple[int, ...]
    temperature: float


def question_prompts(engine: Engine, request: DecisionRequest) -> list[QuestionPrompt] | Problem:
    """The prompts of a request, or the first problem. Tokenizes, so it belongs in a thread."""
    settings = engine.codec.decisions
    if settings.unsupported:
        message = f"{request.model} cannot answer these questions here: {settings.unsupported}"
        return Problem("validation", message, "model")
    prompts: list[QuestionPrompt] = []
    for question in request.questions:
        prompt = _prompt(engine, settings, request, question)
        if isinstance(prompt, Problem):
            return prompt
        prompts.append(prompt)
    return prompts


async def decide(
    prompts: list[QuestionPrompt],
    request: DecisionRequest,
    generate: Callable[[GenerationRequest], Awaitable[GenerationResult | Problem]],
) -> DecisionResult | Problem:
    """The probabilities of all options, from one forward a prompt, all of them together."""
    answers = await asyncio.gather(*(generate(_request(request, each)) for each in prompts))
    found: list[Mapping[str, float]] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        if isinstance(answer, Problem):
            return answer
        found.append(_probabilities(prompt, answer))
    return DecisionResult(tuple(found), sum(len(each.ids) for each in prompts))


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
    scores = [each / prompt.temperature for each in answer.choices[0].logprobs[0].asked]
    largest = max(scores)
    weights = [math.exp(each - largest) for each in scores]
    total = sum(weights)
    return {option: weight / total for option, weight in zip(prompt.options, weights, strict=True)}


def _prompt(
    engine: Engine,
    settings: DecisionSettings,
    request: DecisionRequest,
    question: DecisionQuestion,
) -> QuestionPrompt | Problem:
    field = f"questions.{question.name}"
    names = settings.noul_options if question.kind == "noul" else tuple(question.options)
    labels = settings.labels_of(question.kind)[: len(names)]
    if len(labels) < len(names):
        message = f"the model has labels for {len(labels)} options, and these are {len(names)}"
        return Problem("validation", message, f"{field}.criteria")
    label_ids = _label_ids(engine, labels)
    if label_ids is None:
        message = f"the labels {', '.join(labels)} are not one token each for this model"
        return Problem("validation", message, f"{field}.criteria")
    shown = {
        "type": question.kind,
        "instructions": question.instructions,
        "options": list(names),
        "labels": list(labels),
        "descriptions": [question.options[name] for name in names],
    }
    try:
        text = question_text(request.state, shown)
        ids = tuple(engine.codec.encode_literal_chat(text, NO_THINKING))
    except ValueError as error:
        return Problem("validation", str(error), "state")
    one_token = _request(request, QuestionPrompt(ids, names, label_ids, 1.0))
    room = available_tokens(len(ids), engine.window, one_token)
    if isinstance(room, Problem):
        return Problem(room.kind, room.message, field)
    return QuestionPrompt(ids, names, label_ids, settings.temperature_of(question.kind))


def _label_ids(engine: Engine, labels: tuple[str, ...]) -> tuple[int, ...] | None:
    """The token of each label; ``None`` where one is several tokens, or two are the same."""
    ids = [engine.codec.encode(label, special_tokens=False) for label in labels]
    found = tuple(each[0] for each in ids if len(each) == 1)
    return found if len(set(found)) == len(labels) else None
