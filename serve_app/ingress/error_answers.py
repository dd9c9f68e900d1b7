"""Answers to errors, each in the envelope of the API whose path was called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from serve_app.ingress.errors import ServiceError


@dataclass(frozen=True, slots=True)
class ErrorDialect:
    """One API's error envelope.

    ``paths`` matches the whole path of every request that is answered in it. ``envelope`` makes the
    body of an answer from the error and the request's id.
    """

    paths: re.Pattern[str]
    envelope: Callable[[ServiceError, str], dict[str, Any]]


class ErrorAnswers:
    """Chooses the dialect by the request's path: the first of ``dialects`` that matches.

    The last one has to match every path.
    """

    def __init__(self, dialects: Iterable[ErrorDialect]) -> None:
        self._dialects = tuple(dialects)

    def answer(self, error: ServiceError, path: str, request_id: str) -> Response:
        dialect = next(each for each in self._dialects if each.paths.fullmatch(path))
        body = orjson.dumps(dialect.envelope(error, request_id))
        return Response(body, error.status, headers=error.headers, media_type="application/json")
