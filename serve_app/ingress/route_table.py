"""The application's routes in one flat table, whose matches are remembered by path.

Starlette tries one route after the other, and Serve does so once more for the ``route`` tag of its
metrics. Both find a known path here at the first try.

Names of models contain slashes, so ``/models/{model_id:path}/rerank`` also takes the path
``/models/a/pipeline/rerank``. The route with the longest suffix has it (:func:`suffix_order`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

REMEMBERED_PATHS = 1024
MAX_PATH = 512
"""Longer paths are not remembered, so that clients cannot fill the memory with them."""


def suffix_order(path: str) -> tuple[bool, int]:
    """A sort key: paths without a ``{name:path}`` first, then those with the longest suffix.

    The suffix is what follows the first ``{name:path}``, and is measured in segments.
    """
    _, name, suffix = path.partition(":path}")
    return bool(name), -suffix.count("/")


class RouteTable(list[BaseRoute]):
    """A list of routes, in their :func:`suffix_order`, that begins with what is remembered.

    Each iteration has a :class:`RememberedRoute` of its own before the routes: whoever iterates
    asks it first whether it matches.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        super().__init__(sorted(routes, key=lambda route: suffix_order(getattr(route, "path", ""))))
        self.find = lru_cache(REMEMBERED_PATHS)(self._find)

    def __iter__(self) -> Iterator[BaseRoute]:
        yield RememberedRoute(self)
        yield from super().__iter__()

    def _find(self, method: str, path: str) -> Found | None:
        """The first route that takes such requests, and what it adds to their scope."""
        scope = {"type": "http", "method": method, "path": path}
        for route in super().__iter__():
            match, child_scope = route.matches(scope)
            if match is Match.FULL:  # of others, as mounts, nothing is remembered
                return Found(route, child_scope) if isinstance(route, Route) else None
        return None


class Found(NamedTuple):
    """A route, and what it adds to the scope of a request that it takes."""

    route: Route
    child_scope: Scope


class RememberedRoute(BaseRoute):
    """The route that a path had before, for one search in a :class:`RouteTable`.

    ``path`` and ``path_format`` are those of the route that was found. Until then they are of a
    route that every application has: Serve lists the paths of all routes at the start.
    """

    path = path_format = "/"
    methods = frozenset({"GET"})

    def __init__(self, table: RouteTable) -> None:
        self._table = table
        self._route: Route | None = None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """A full match with the first route that takes the request, else none."""
        path = scope.get("path", "")
        if scope["type"] != "http" or len(path) > MAX_PATH or scope.get("root_path"):
            return Match.NONE, {}
        found = self._table.find(scope["method"], path)
        if found is None:
            return Match.NONE, {}
        route = self._route = found.route
        self.path, self.path_format = route.path, route.path_format
        parameters = dict(found.child_scope["path_params"])
        return Match.FULL, {**found.child_scope, "path_params": parameters}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._route is not None
        await self._route.handle(scope, receive, send)
