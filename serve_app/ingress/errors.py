"""The error tree and its envelopes: native, OpenAI's under ``/v1``, the Hub's under ``/models``.

Raise a :class:`ServiceError` anywhere on the ingress side; one handler turns it into an answer.
What nobody foresaw is logged with its request id and answered as ``internal_error`` without detail.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from deployments.seam.problems import Problem
from serve_app.ingress.request_id import request_id_of
from serve_app.ingress.validation.field_errors import MAX_NAME_LENGTH, field_errors

logger = logging.getLogger(__name__)

OPENAI_PREFIX = "/v1/"
HUB_PREFIX = "/models/"
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class ServiceError(Exception):
    """Base of what a client may see. ``field`` is the request's field at fault, when one is."""

    status = 500
    error_type = "internal_error"
    openai_type = "server_error"
    code: str | None = "internal_error"
    tgi_type: str | None = None

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


class InternalError(ServiceError):
    tgi_type = "generation"

    def __init__(self) -> None:
        super().__init__("The server could not answer this request.")


class ValidationFailed(ServiceError):
    status = 400
    error_type = "validation_error"
    openai_type = "invalid_request_error"
    code = "invalid_value"
    tgi_type = "validation"

    def __init__(self, message: str, *, field: str | None = None, **more: Any) -> None:
        super().__init__(message, field=field, **more)
        if "field_errors" not in self.details:
            self.details["field_errors"] = {field: message} if field else {}


class AuthenticationError(ServiceError):
    """No API key came with the request, or one that is not known."""

    status = 401
    error_type = "authentication_error"
    openai_type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class AuthorizationError(ServiceError):
    """The key has not the scope, or the request comes from where none may come from."""

    status = 403
    error_type = "authorization_error"
    openai_type = "invalid_request_error"
    code = "insufficient_permissions"


class NotFound(ServiceError):
    status = 404
    error_type = "not_found_error"
    openai_type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """The name is unknown or not allowed; the answer lists what is."""

    code = "model_not_found"

    def __init__(self, name: str, available: Sequence[str], field: str) -> None:
        shown = ", ".join(available) or "none"
        name = name[:MAX_NAME_LENGTH]
        super().__init__(
            f"The model {name!r} is not served here, or not for this. Available: {shown}.",
            field=field,
            details={"model": name, "available": list(available)},
        )


class MethodNotAllowed(ServiceError):
    status = 405
    error_type = "method_not_allowed"
    openai_type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(ServiceError):
    """The request itself did not arrive in time (RFC 9110, 15.5.9)."""

    status = 408
    error_type = "timeout"
    openai_type = "invalid_request_error"
    code = "request_timeout"


class PayloadTooLarge(ServiceError):
    status = 413
    error_type = "payload_too_large"
    openai_type = "invalid_request_error"
    code = "payload_too_large"


class UnsupportedMediaType(ServiceError):
    status = 415
    error_type = "unsupported_media_type"
    openai_type = "invalid_request_error"
    code = "unsupported_media_type"


class TooManyRequests(ServiceError):
    status = 429
    error_type = "rate_limit_error"
    openai_type = "rate_limit_error"
    code = "rate_limit_exceeded"
    tgi_type = "overloaded"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after_s)})


class Unavailable(ServiceError):
    status = 503
    error_type = "service_unavailable"
    code = "service_unavailable"

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after_s)})


class DeadlineExceeded(ServiceError):
    status = 504
    error_type = "timeout"
    code = "timeout"


def error_type_of(status: int) -> str:
    """What the envelope calls an answer of this status."""
    return ERROR_TYPES.get(status, ServiceError.error_type)


ERROR_TYPES = {
    400: ValidationFailed.error_type,
    401: AuthenticationError.error_type,
    403: AuthorizationError.error_type,
    404: NotFound.error_type,
    405: MethodNotAllowed.error_type,
    408: RequestTimeout.error_type,
    413: PayloadTooLarge.error_type,
    415: UnsupportedMediaType.error_type,
    429: TooManyRequests.error_type,
    503: Unavailable.error_type,
    504: DeadlineExceeded.error_type,
}


def from_problem(problem: Problem, fields: Mapping[str, str] | None = None) -> ServiceError:
    """The error for a problem that the model side reported.

    ``fields`` translates the seam's names of fields to those of the route that was called.
    """
    field = (fields or {}).get(problem.field, problem.field) if problem.field else None
    match problem.kind:
        case "validation":
            return ValidationFailed(problem.message, field=field)
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


def item_error(error: ServiceError) -> dict[str, Any]:
    """What stands in the place of one list item that failed alone."""
    body: dict[str, Any] = {"error_type": error.error_type, "message": error.message}
    if error.field:
        body["field"] = error.field
    return {"error": body}


def native_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {
        "success": False,
        "error_type": error.error_type,
        "message": error.message,
        "details": error.details,
        "timestamp": datetime.now(UTC).isoformat(),
        "request_id": request_id,
    }


def openai_envelope(error: ServiceError) -> dict[str, Any]:
    """The shape that the ``openai`` clients parse into their exceptions (API reference, Errors)."""
    return {
        "error": {
            "message": error.message,
            "type": error.openai_type,
            "param": error.field,
            "code": error.code,
        }
    }


def hub_envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    """What Hugging Face's clients read: ``error`` is one text (TGI's ErrorResponse).

    ``error_type`` is TGI's word, and null where it has none: with a word the client raises the
    exception of that name and forgets the status, without one it raises the status.
    """
    return {
        "error": error.message,
        "error_type": error.tgi_type,
        "details": error.details,
        "request_id": request_id,
    }


def answer(error: ServiceError, path: str, request_id: str) -> Response:
    body: dict[str, Any]
    if _speaks_openai(path):
        body = openai_envelope(error)
    elif path.startswith(HUB_PREFIX):
        body = hub_envelope(error, request_id)
    else:
        body = native_envelope(error, request_id)
    return Response(
        orjson.dumps(body), error.status, headers=error.headers, media_type="application/json"
    )


def _speaks_openai(path: str) -> bool:
    """Under ``/v1``, and in the chat route that Hugging Face's clients find below a model."""
    below_a_model = path.startswith(HUB_PREFIX) and OPENAI_PREFIX in path
    return path.startswith(OPENAI_PREFIX) or path == OPENAI_PREFIX.rstrip("/") or below_a_model


def from_http(error: HTTPException) -> ServiceError:
    """What routing and parsing themselves refuse, in this service's words."""
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            return NotFound("There is no such route.")
        case 405:
            return MethodNotAllowed("The route does not take this method.", headers=headers)
        case 413:
            return PayloadTooLarge(str(error.detail))
        case 415:
            return UnsupportedMediaType(str(error.detail), headers=headers)
        case status if status < 500:
            return ValidationFailed(str(error.detail))
    return InternalError()


def from_validation(error: RequestValidationError) -> ServiceError:
    """One message that names every field at fault, and the first as the field."""
    return invalid(field_errors(error.errors()))


def invalid(found: Mapping[str, str]) -> ValidationFailed:
    """The refusal of the fields that ``found`` names, each with what is wrong with it."""
    message = "; ".join(f"{path}: {text}" for path, text in found.items())
    return ValidationFailed(message, field=next(iter(found)), details={"field_errors": dict(found)})


def _methods(scope: Scope) -> list[str]:
    """All that the path may be asked for; routing itself knows those of one route only."""
    routes: list[Any] = scope["app"].router.routes
    found = [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return sorted([*found, "HEAD"]) if "GET" in found else found


def install(app: FastAPI) -> None:
    """Register the handlers on ``app``."""

    async def on_service_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return answer(error, request.url.path, request_id_of(request.scope))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            error.headers = {"Allow": ", ".join(_methods(request.scope))}
        return answer(from_http(error), request.url.path, request_id_of(request.scope))

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(from_validation(error), request.url.path, request_id_of(request.scope))

    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
