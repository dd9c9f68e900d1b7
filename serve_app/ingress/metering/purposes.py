"""The task that each request is for, before its model is found: said by its method and path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from starlette.routing import compile_path

from deployments.metrics.signals import UNKNOWN
from serve_app.ingress.route_table import suffix_order

SURFACES = re.compile(r"(/api/v1/huggingface/(?!models/)|/v1/|/models/).+")
"""Where a POST is a request for inference; under the native ``models/`` it loads a model."""


class Purpose(NamedTuple):
    """``fixed`` is the task of the whole request, whatever models it uses.

    Its model is one of those that do one of ``model_tasks``.
    """

    task: str
    fixed: bool = False
    model_tasks: tuple[str, ...] = ()


class Purposes:
    """The purpose of every route of an application, by the route's path."""

    def __init__(self, by_path: Mapping[str, Purpose]) -> None:
        self.tasks = frozenset({UNKNOWN, *(purpose.task for purpose in by_path.values())})
        self._by_path = {path: purpose for path, purpose in by_path.items() if "{" not in path}
        self._patterns = [
            (compile_path(path)[0], by_path[path])
            for path in sorted(by_path, key=suffix_order)
            if "{" in path
        ]

    def of(self, method: str, path: str) -> Purpose | None:
        """The purpose of a request; ``None`` if it is not inference."""
        if method != "POST":
            return None
        if path in self._by_path:
            return self._by_path[path]
        for pattern, purpose in self._patterns:
            if pattern.match(path):
                return purpose
        return Purpose(UNKNOWN) if SURFACES.fullmatch(path) else None
