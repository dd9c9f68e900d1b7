"""The README's tables are what there is: of the API every route, of tasks every task, no other."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.routing import BaseRoute, Route

from configs.profile import load_profile
from serve_app.ingress.app import create_app, routers_of
from serve_app.registry.task_names import all_tasks, table
from tests.serve_app import house

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(
    r"^\| (?P<methods>[A-Z, ]+) \| `(?P<path>/[^`]*)` \| (?P<what>.+) \|$", re.MULTILINE
)
OWN = {"/docs", "/docs/assets/{name}", "/redoc", "/openapi.json"}
"""The documentation of the others."""


def documented() -> list[tuple[str, str]]:
    section = README.read_text().partition("## The API")[2].partition("\n## ")[0]
    return [
        (method.strip(), row["path"])
        for row in ROW.finditer(section)
        for method in row["methods"].split(",")
    ]


def served() -> set[tuple[str, str]]:
    """Every method and path of the embedded profile's application."""
    app = create_app(house.services({}), routers_of(load_profile("embedded")))
    return {found for route in app.routes for found in _found(route)}


def _found(route: BaseRoute) -> set[tuple[str, str]]:
    if included := getattr(route, "original_router", None):  # FastAPI resolves these lazily
        return {found for each in included.routes for found in _found(each)}
    if not isinstance(route, Route) or route.path in OWN:
        return set()
    path = re.sub(r":\w+}", "}", route.path)  # {model_id:path} is written {model_id}
    return {(method, path) for method in (route.methods or set()) - {"HEAD"}}


def test_the_table_has_every_route_and_no_other() -> None:
    assert set(documented()) == served()


def test_the_table_has_no_row_twice() -> None:
    rows = documented()
    assert len(rows) == len(set(rows))
    assert len(rows) > 20


def test_the_table_of_tasks_is_the_one_that_the_command_makes() -> None:
    """`prsm-serve tasks --markdown` prints it."""
    begin, end = "<!-- tasks: made by `prsm-serve tasks --markdown` -->\n", "<!-- end of tasks -->"
    there = README.read_text().partition(begin)[2].partition(end)[0]
    assert there.strip() == table(all_tasks())
