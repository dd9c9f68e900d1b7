"""A request's texts, answered one by one: a single text by an object, a list by a bare list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from configs.settings import Settings
from deployments.seam.problems import Problem
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import TaskResult
from serve_app.ingress.routes.errors import item_error
from serve_app.ingress.validation.limits import check_count, text_problem

R = TypeVar("R")

FIELD = "texts"


class ItemError(BaseModel):
    """What stands in a list in the place of an item that failed alone."""

    error: dict[str, str]


def texts_of(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given


async def answer_each(
    texts: Sequence[str],
    settings: Settings,
    ask: Callable[[tuple[str, ...]], Awaitable[Sequence[R | Problem]]],
    field: str = FIELD,
) -> list[R | Problem]:
    """A result or a problem for each text, in order.

    ``ask`` gets the texts that pass the checks of the ingress; the others never reach the model.
    ``field`` is the request's name for the texts.
    """
    check_count(len(texts), settings, field)
    items: list[Any] = [text_problem(text, settings) for text in texts]
    good = [index for index, problem in enumerate(items) if problem is None]
    if good:
        answers = await ask(tuple(texts[i] for i in good))
        for index, item in zip(good, answers, strict=True):
            items[index] = item
    return items


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
    """What stands in a list in the place of a text that failed alone."""
    return item_error(from_problem(problem))
