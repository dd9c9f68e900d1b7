"""Inputs that are answered one by one: each in a list of its own place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from deployments.seam.problems import Problem
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.items import answered
from serve_app.ingress.validation.limits import check_count

R = TypeVar("R")

FIELD = "inputs"


async def answers_to(
    inputs: str | list[str],
    served: Services,
    ask: Callable[[tuple[str, ...]], Awaitable[Sequence[R | Problem]]],
) -> list[R | Problem]:
    """An answer or a problem an input; raises the problem of a single one, as no list holds it."""
    texts = [inputs] if isinstance(inputs, str) else inputs
    check_count(len(texts), served.settings, FIELD)
    return alone(inputs, await answered(texts, served.settings, ask))


def alone(inputs: str | list[str], items: list[R | Problem]) -> list[R | Problem]:
    """``items``; raises the problem of an input that came alone."""
    if isinstance(inputs, str) and isinstance(items[0], Problem):
        problem = items[0]
        raise from_problem(Problem(problem.kind, f"inputs: {problem.message}", FIELD))
    return items


def in_place(item: R | Problem, show: Callable[[R], Any]) -> Any:
    """What stands in a list for one input: its answer, or why it has none."""
    if isinstance(item, Problem):
        error = from_problem(item)
        return {"error": error.message, "error_type": error.tgi_type}
    return show(item)
