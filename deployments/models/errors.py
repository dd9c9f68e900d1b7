"""Why a request cannot use a model: it does not load, or too much is waiting for it."""

from __future__ import annotations

from deployments.seam.problems import Problem


class ModelUnavailable(Exception):
    """A model that could not be loaded; ``reason`` is fit for a client."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.reason = reason
        self.problem = Problem("unavailable", f"The model {name} could not be loaded: {reason}.")


class Overloaded(ModelUnavailable):
    """As much waits for a model as may; ``what`` says of what."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, f"too many {what} wait for it")
        message = f"Too many {what} are waiting for the model {name}."
        self.problem = Problem("overloaded", message)
