"""The texts of ``inputs``, answered one by one: each in a list of its own place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from deployments.seam.problems import Problem
from serve_app.ingress.errors import from_problem
from serve_app.ingress.routes.huggingface.errors import tgi_error_type
from serve_app.ingress.routes.text_items import texts_of

R = TypeVar("R")

FIELD = "inputs"


def input_answers(
    inputs: str | list[str], items: Sequence[R | Problem], show: Callable[[str, R], Any]
) -> list[Any]:
    """The list entry of each input: its answer or its error.

    The problem of an input that came alone is raised instead, since no list holds it.
    """
    if isinstance(inputs, str) and isinstance(items[0], Problem):
        problem = items[0]
        raise from_problem(Problem(problem.kind, f"{FIELD}: {problem.message}", FIELD))
    return [
        _failed(item) if isinstance(item, Problem) else show(text, item)
        for text, item in zip(texts_of(inputs), items, strict=True)
    ]


def _failed(problem: Problem) -> dict[str, Any]:
    error = from_problem(problem)
    return {"error": error.message, "error_type": tgi_error_type(error)}
