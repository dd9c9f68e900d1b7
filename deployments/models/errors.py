"""Why a request cannot use a model: it does not load, or too much is waiting for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from deployments.seam.problems import Problem

T = TypeVar("T")
P = ParamSpec("P")


class ModelUnavailable(Exception):
    """A model could not be loaded; ``reason`` is fit for a client."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.reason = reason
        self.problem = Problem("unavailable", f"The model {name} could not be loaded: {reason}.")

    def __str__(self) -> str:
        """The message, which Serve puts into the status of a deployment that does not start."""
        return self.problem.message


class ModelGone(ModelUnavailable):
    """A model that was loaded by name is not known any more."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "it is not served any more")
        message = f"The model {name} was removed a moment ago. Ask again to load it anew."
        self.problem = Problem("unavailable", message)


class OutOfMemory(ModelUnavailable):
    """Memory of the host or of the GPU ran out while a model was loaded."""


class BudgetExceeded(ModelUnavailable):
    """Requests on other models use the memory that a model needs, and more than the budget."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "requests on other models use the memory that it needs")


class Overloaded(ModelUnavailable):
    """Backpressure: a model's queue is full. ``what`` names what is queued, such as images."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, f"too many {what} wait for it")
        message = f"Too many {what} are waiting for the model {name}."
        self.problem = Problem("overloaded", message)


class StillInUseError(Exception):
    """A model was not unloaded: requests on it did not end in the time that was allowed."""


def unavailable_as_problem(
    method: Callable[P, Awaitable[T]],
) -> Callable[P, Coroutine[Any, Any, T | Problem]]:
    """``method``, which returns a :class:`Problem` where it would raise :class:`ModelUnavailable`.

    Problems cross the handles of Serve; exceptions of ours do not.
    """

    @wraps(method)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> T | Problem:
        try:
            return await method(*args, **kwargs)
        except ModelUnavailable as error:
            return error.problem

    return answer
