"""Exception handlers of the application: they answer what routes, routing and validation raise."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.errors import (
    InternalError,
    InvalidJson,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ServiceError,
    UnsupportedMediaType,
    ValidationFailed,
    invalid_fields,
)
from serve_app.ingress.request_id import request_id_of
from serve_app.ingress.validation.field_errors import field_errors

METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def add_error_handlers(app: FastAPI, answers: ErrorAnswers) -> None:
    """Register the handlers on ``app``; ``answers`` writes what they answer."""

    def answer(error: ServiceError, request: Request) -> Response:
        return answers.answer(error, request.url.path, request_id_of(request.scope))

    async def on_service_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return answer(error, request)

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            error.headers = {"Allow": ", ".join(_allowed_methods(request.scope))}
        return answer(from_http(error), request)

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(from_validation(error), request)

    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)


def from_http(error: HTTPException) -> ServiceError:
    """The error for what Starlette and FastAPI refuse, without their text where it may tell more
    than a client should know."""
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
    """One error for a body that does not fit its model; it names every field at fault."""
    items = error.errors()
    unreadable = any(item["type"] == "json_invalid" for item in items)
    return invalid_fields(field_errors(items), InvalidJson if unreadable else ValidationFailed)


def _allowed_methods(scope: Scope) -> list[str]:
    """All methods of the path. Routing itself reports those of one matching route only."""
    routes: list[Any] = scope["app"].router.routes
    found = [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return sorted([*found, "HEAD"]) if "GET" in found else found
