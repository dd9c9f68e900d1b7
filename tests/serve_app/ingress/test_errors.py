"""The tree of errors, and how problems of the model side become part of it."""

from __future__ import annotations

import pytest

from deployments.seam.problems import Problem, ProblemKind
from serve_app.ingress import errors

MESSAGE = "What went wrong."


def test_a_model_that_is_not_found_is_named_beside_those_that_are() -> None:
    error = errors.ModelNotFound("a/b", ["c/d", "e/f"], "model_name")
    assert error.message.endswith("Available: c/d, e/f.")
    assert error.details == {"model": "a/b", "available": ["c/d", "e/f"]}
    assert errors.ModelNotFound("a/b", [], "model").message.endswith("Available: none.")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("validation", 400),
        ("not_found", 404),
        ("overloaded", 429),
        ("unavailable", 503),
        ("timeout", 504),
        ("internal", 500),
    ],
)
def test_each_kind_of_problem_has_its_status(kind: ProblemKind, status: int) -> None:
    assert errors.from_problem(Problem(kind, MESSAGE)).status == status


def test_an_internal_problem_does_not_show_its_message() -> None:
    assert MESSAGE not in errors.from_problem(Problem("internal", MESSAGE)).message


def test_a_problems_field_is_called_what_the_route_calls_it() -> None:
    problem = Problem("validation", MESSAGE, "max_new_tokens")
    error = errors.from_problem(problem, {"max_new_tokens": "max_tokens"})
    assert error.field == "max_tokens"
    assert error.details["field_errors"] == {"max_tokens": MESSAGE}
    assert errors.from_problem(problem).field == "max_new_tokens"
