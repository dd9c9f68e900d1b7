"""The errors that a client may see. Raised anywhere in the ingress, each becomes one answer.

How an answer is written depends on the API that was called, see
:mod:`serve_app.ingress.error_answers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Self

from deployments.seam.problems import Problem

MAX_FIELD_ERRORS = 20
MAX_NAME_LENGTH = 200
"""Bounds of an error answer: how many fields it names, and how much of a long name it repeats."""


class ServiceError(Exception):
    """Base of all of them. ``field`` is the request's field at fault, if one is.

    ``status`` is the HTTP status, ``error_type`` the native API's name for this kind of error.
    """

    status = 500
    error_type = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def __copy__(self) -> Self:
        """The same error without a traceback, whatever the constructor of its class takes."""
        made = type(self).__new__(type(self), *self.args)
        made.__dict__.update(self.__dict__)
        return made

    @property
    def named(self) -> str:
        """The message with the field at fault, for APIs whose errors have no place for it."""
        if self.field is None or self.field in self.message:
            return self.message
        return f"{self.field}: {self.message}"


class InternalError(ServiceError):
    """An unforeseen failure, whose details are logged and not shown."""

    def __init__(self) -> None:
        super().__init__("The server could not answer this request.")


class ValidationFailed(ServiceError):
    """The request itself is wrong."""

    status, error_type = 400, "validation_error"

    def __init__(self, message: str, *, field: str | None = None, **more: Any) -> None:
        super().__init__(message, field=field, **more)
        if "field_errors" not in self.details:
            self.details["field_errors"] = {field: message} if field else {}


class InvalidJson(ValidationFailed):
    """The body is not JSON."""


class ContextLengthExceeded(ValidationFailed):
    """Prompt and new tokens do not fit the model's window, or every text at fault is too long."""


class AuthenticationError(ServiceError):
    """The request has no API key, or an unknown one."""

    status, error_type = 401, "authentication_error"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class AuthorizationError(ServiceError):
    """The key lacks the scope, or the request comes from a host or site that is not allowed."""

    status, error_type = 403, "authorization_error"


class FamilyNotAllowed(AuthorizationError):
    """The key is bound to other families of models."""

    def __init__(self, family: str, allowed: Iterable[str]) -> None:
        super().__init__(
            f"This API key may not use models of the family {family}; "
            f"it is bound to: {', '.join(sorted(allowed))}."
        )


def check_family(family: str, allowed: Set[str]) -> None:
    """Raises :class:`FamilyNotAllowed`. None that are ``allowed`` means that all are."""
    if allowed and family not in allowed:
        raise FamilyNotAllowed(family, allowed)


class NotFound(ServiceError):
    status, error_type = 404, "not_found_error"


class ModelNotFound(NotFound):
    """The model is unknown, not allowed, or only there for other ``tasks``. The answer lists those
    that are served, and by ``allowed`` those that could be loaded by name."""

    def __init__(
        self,
        name: str,
        available: Sequence[str],
        field: str,
        allowed: Sequence[str] = (),
        tasks: Sequence[str] = (),
    ) -> None:
        shown = ", ".join(available) or "none"
        name = name[:MAX_NAME_LENGTH]
        served = (
            f"served only for {', '.join(tasks)}" if tasks else "not served here, or not for this"
        )
        others = f" Loaded by name: {', '.join(allowed)}." if allowed else ""
        super().__init__(
            f"The model {name!r} is {served}. Available: {shown}.{others}",
            field=field,
            details={
                "model": name,
                "available": list(available),
                **({"allowed": list(allowed)} if allowed else {}),
            },
        )


class MethodNotAllowed(ServiceError):
    status, error_type = 405, "method_not_allowed"


class RequestTimeout(ServiceError):
    """The request did not arrive in time (RFC 9110, 15.5.9)."""

    status, error_type = 408, "timeout"


class PayloadTooLarge(ServiceError):
    status, error_type = 413, "payload_too_large"


class UnsupportedMediaType(ServiceError):
    status, error_type = 415, "unsupported_media_type"


class TooManyRequests(ServiceError):
    status, error_type = 429, "rate_limit_error"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after_s)})


class Unavailable(ServiceError):
    status, error_type = 503, "service_unavailable"

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after_s)})


class DeadlineExceeded(ServiceError):
    """The answer was not complete within the server's time limit."""

    status, error_type = 504, "timeout"


ERRORS_BY_STATUS: Mapping[int, type[ServiceError]] = {
    error.status: error
    for error in (
        ValidationFailed,
        AuthenticationError,
        AuthorizationError,
        NotFound,
        MethodNotAllowed,
        RequestTimeout,
        PayloadTooLarge,
        UnsupportedMediaType,
        TooManyRequests,
        Unavailable,
        DeadlineExceeded,
    )
}


def error_type_of(status: int) -> str:
    """The ``error_type`` of an answer with this status."""
    return ERRORS_BY_STATUS.get(status, ServiceError).error_type


def from_problem(problem: Problem, fields: Mapping[str, str] | None = None) -> ServiceError:
    """The error for a problem that a model's deployment reported.

    ``fields`` translates the names of the deployment's fields to those of the route.
    """
    field = (fields or {}).get(problem.field, problem.field) if problem.field else None
    match problem.kind:
        case "validation":
            return ValidationFailed(problem.message, field=field)
        case "context_length":
            return ContextLengthExceeded(problem.message, field=field)
        case "not_found":
            return NotFound(problem.message, field=field)
        case "overloaded":
            return TooManyRequests(problem.message, retry_after_s=5)
        case "unavailable":
            return Unavailable(problem.message)
        case "timeout":
            return DeadlineExceeded(problem.message)
        case "internal":
            return InternalError()


def invalid_fields(
    found: Mapping[str, str], error: type[ValidationFailed] = ValidationFailed
) -> ValidationFailed:
    """The ``error`` that names every field of ``found``, each with what is wrong with it."""
    message = "; ".join(f"{path}: {text}" for path, text in found.items())
    return error(message, field=next(iter(found)), details={"field_errors": dict(found)})
