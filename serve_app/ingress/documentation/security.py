"""Adds to the OpenAPI document how a request carries its API key."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serve_app.ingress.front.access import scope_of

SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
ANY_OF: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]


def with_security(app: FastAPI, *, needs_key: bool) -> None:
    """Make ``app.openapi()`` return its document with the security schemes."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        add_security(document, needs_key=needs_key)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def add_security(document: dict[str, Any], *, needs_key: bool) -> None:
    """Add both schemes, and which operations need one of them. Idempotent."""
    document.setdefault("components", {})["securitySchemes"] = SCHEMES
    document["security"] = ANY_OF if needs_key else [{}, *ANY_OF]
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            if isinstance(operation, dict) and scope_of(method.upper(), path) is None:
                operation["security"] = []
