"""Calls a model for vectors of texts, and refuses requests that have texts without a vector."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.seam.embeddings import EmbeddingRequest, EmbeddingResult
from deployments.seam.problems import Problem
from serve_app.ingress.errors import ContextLengthExceeded, ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import NATIVE_FIELDS, Services
from serve_app.ingress.validation.limits import (
    check_count,
    check_prompt,
    check_readable,
    text_problem,
)

EMBED = "embed"
MAX_NAMED = 20
"""Texts that the message of an error names; its details name all of them."""


async def embed(
    services: Services,
    card: ModelCard,
    texts: tuple[str, ...],
    field: str | tuple[str, ...],
    *,
    normalize: bool = True,
    truncate: bool = False,
    batch_size: int | None = None,
    dimensions: int | None = None,
    fields: Mapping[str, str] = NATIVE_FIELDS,
    prompt_name: str | None = None,
    preferred_prompts: tuple[str, ...] = (),
) -> EmbeddingResult:
    """The texts' vectors, or a 400 that names every text that cannot have one.

    ``field`` is the request's list of texts, or the name of each text's own field; ``fields`` are
    the route's names for the other fields of the model side.
    """
    if isinstance(field, str):
        check_count(len(texts), services.settings, field)
    await check_texts(services, card, texts, field, truncate=truncate, fields=fields)
    request = EmbeddingRequest(
        card.name,
        texts,
        normalize,
        truncate,
        batch_size,
        dimensions,
        prompt_name,
        preferred_prompts,
    )
    result: EmbeddingResult = await services.client.call(card.family, "embed", request, fields)
    refuse(result.problems, field)
    return result


async def check_texts(
    services: Services,
    card: ModelCard,
    texts: tuple[str, ...],
    field: str | tuple[str, ...],
    *,
    truncate: bool,
    fields: Mapping[str, str] = NATIVE_FIELDS,
) -> None:
    """Raise a 400 for texts that no model reads. It also names those that this model would refuse.

    So one answer tells of every text at fault, and the next request can be a good one.
    """
    found = {index: text_problem(text, services.settings) for index, text in enumerate(texts)}
    problems = {index: problem for index, problem in found.items() if problem is not None}
    readable = [index for index in found if index not in problems]
    if problems and readable:
        given = tuple(texts[index] for index in readable)
        request = EmbeddingRequest(card.name, given, truncate=truncate)
        result: EmbeddingResult = await services.client.call(card.family, "embed", request, fields)
        problems |= {readable[index]: each for index, each in result.problems.items()}
    refuse(problems, field)


def check_text(text: str, services: Services, field: str) -> None:
    check_prompt(text, services.settings, field)
    check_readable(text, field)


def refuse(problems: Mapping[int, Problem], field: str | tuple[str, ...]) -> None:
    """Raise a 400 that names every item at fault: a list of vectors has no place for an error."""
    if not problems:
        return
    named = {
        (f"{field}.{index}" if isinstance(field, str) else field[index]): problem.message
        for index, problem in sorted(problems.items())
    }
    message = "; ".join(f"{name}: {text}" for name, text in list(named.items())[:MAX_NAMED])
    too_long = all(problem.kind == "context_length" for problem in problems.values())
    failure = ContextLengthExceeded if too_long else ValidationFailed
    raise failure(message, field=next(iter(named)), details={"field_errors": named})
