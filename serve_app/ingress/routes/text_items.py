"""A request's texts, answered one by one: a single text by an object, a list by a bare list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from deployments.seam.problems import Problem
from serve_app.ingress.errors import from_problem
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services, TaskResult
from serve_app.ingress.routes.errors import item_error
from serve_app.ingress.validation.fields import Body, ModelName, Texts, Truncate
from serve_app.ingress.validation.limits import check_count, text_problem

R = TypeVar("R")

FIELD = "texts"


class ItemError(BaseModel):
    """The list entry for a failed item."""

    error: dict[str, str]


class TextsBody(Body):
    """One text for one answer, a list for a list of them."""

    texts: Texts
    model_name: ModelName | None = None


class TruncatableTextsBody(TextsBody):
    """Texts that are cut to what the model can read where the request says so."""

    truncate: Truncate = False


def texts_of(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given


async def call_for_each(
    texts: Sequence[str],
    card: ModelCard,
    services: Services,
    method: str,
    request_for: Callable[[tuple[str, ...]], Any],
    *,
    fields: Mapping[str, str] | None = None,
    field: str = FIELD,
) -> list[Any]:
    """The model's item or a :class:`Problem` for each text, in order.

    ``request_for`` makes the request for the texts that pass the checks of the ingress; the others
    never reach the model. ``fields`` are the route's names for the fields of the model side,
    ``field`` is the one for the texts.
    """
    items, _ = await call_with_result(
        texts, card, services, method, request_for, fields=fields, field=field
    )
    return items


async def call_with_result(
    texts: Sequence[str],
    card: ModelCard,
    services: Services,
    method: str,
    request_for: Callable[[tuple[str, ...]], Any],
    *,
    fields: Mapping[str, str] | None = None,
    field: str = FIELD,
) -> tuple[list[Any], Any]:
    """As :func:`call_for_each`, with the model side's whole result; ``None`` if it got no text."""
    check_count(len(texts), services.settings, field)
    items: list[Any] = [text_problem(text, services.settings) for text in texts]
    good = [index for index, problem in enumerate(items) if problem is None]
    if not good:
        return items, None
    request = request_for(tuple(texts[i] for i in good))
    result = await services.client.call(card.family, method, request, fields)
    for index, item in zip(good, result.items, strict=True):
        items[index] = item
    return items, result


def object_or_list(
    given: str | list[str],
    items: Sequence[R | Problem],
    show: Callable[[str, R], dict[str, Any]],
    model: str,
) -> TaskResult:
    """One object for one text, whose problem is raised; a bare list for a list of texts."""
    if isinstance(given, str):
        return TaskResult(show(given, only(items)), model)
    entries = [
        failed_item(item) if isinstance(item, Problem) else show(text, item)
        for text, item in zip(given, items, strict=True)
    ]
    return TaskResult(entries, model)


def only(items: Sequence[R | Problem]) -> R:
    """The result of a single text. Raises its problem, naming the field that it came in."""
    (item,) = items
    if isinstance(item, Problem):
        raise from_problem(Problem(item.kind, item.message, FIELD))
    return item


def failed_item(problem: Problem) -> dict[str, Any]:
    """The list entry for a failed text."""
    return item_error(from_problem(problem))
