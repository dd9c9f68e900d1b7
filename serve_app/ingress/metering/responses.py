"""Counts the answers of every route by the class of their status, those of the front included."""

from __future__ import annotations

from starlette.types import Scope

from deployments.metrics import signals
from serve_app.ingress.metering.metering import Metering
from serve_app.ingress.route_table import MAX_PATH, RouteTable

NO_ROUTE = "none"
"""The label of paths and methods that no route has: clients cannot make labels."""


class Responses:
    """Counts by the template of the path, as ``/models/{model_id}``, and by ``2xx``, ``4xx``, …"""

    def __init__(self, routes: RouteTable, metering: Metering) -> None:
        self._routes = routes
        self._metering = metering

    def note(self, scope: Scope, status: int) -> None:
        labels = (route_of(self._routes, scope), f"{status // 100}xx")
        self._metering.record([signals.HTTP_RESPONSES.of(*labels)])


def route_of(routes: RouteTable, scope: Scope) -> str:
    """The template of the route that takes a request, or :data:`NO_ROUTE`."""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    found = routes.find(method, path) if len(path) <= MAX_PATH else None
    return NO_ROUTE if found is None else found.route.path_format
