"""The flat table: known paths are found at the first try, and answers are those without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from ray.serve._private.thirdparty.get_asgi_route_name import (
    extract_route_patterns,
    get_asgi_route_name,
)
from starlette.routing import BaseRoute, Match, Mount, Route

from serve_app.ingress.route_table import MAX_PATH, REMEMBERED_PATHS, RouteTable
from tests.serve_app import every_task, house
from tests.serve_app.house import NATIVE

FULL = Match.FULL


async def endpoint(request: Any) -> None:
    """Never called."""


class Counting(Route):
    """A route that counts how often it is asked."""

    asked = 0

    def matches(self, scope: Any) -> tuple[Match, Any]:
        self.asked += 1
        return super().matches(scope)


def scope(path: str, method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path}


def search(table: RouteTable, path: str, method: str = "GET") -> tuple[str | None, dict[str, Any]]:
    """The path of the route that takes the request, as Starlette finds it, and its parameters."""
    for route in table:
        match, child_scope = route.matches(scope(path, method))
        if match is Match.FULL:
            return getattr(route, "path", None), child_scope["path_params"]
    return None, {}


def table(*routes: BaseRoute) -> RouteTable:
    return RouteTable(routes)


def test_the_first_route_that_takes_a_request_is_found_with_its_parameters() -> None:
    made = table(
        Route("/models/{name:path}/health", endpoint),
        Route("/models/{name:path}", endpoint),
        Route("/models/{name:path}", endpoint, methods=["POST"]),
    )
    for _ in range(2):
        assert search(made, "/models/a/b") == ("/models/{name:path}", {"name": "a/b"})
        assert search(made, "/models/a/health") == ("/models/{name:path}/health", {"name": "a"})
        assert search(made, "/nothing") == (None, {})


def suffix_length(route: Route) -> int:
    """In segments, behind the first name that contains slashes."""
    return len(route.path.partition(":path}")[2].split("/"))


def overlaps(routes: list[Route]) -> Iterator[tuple[str, str, set[str]]]:
    """A method and a path that several routes with slashes in a name take, and their paths.

    Each path is one of a route whose names end as some route's suffix does.
    """
    endings = {tail for route in routes if (tail := re.sub(r".*}/?", "", route.path))}
    for route in routes:
        beginning, _, name = re.sub(r"{\w+:path}", "a/b", route.path).rpartition("/")
        for last in endings if name.startswith("{") or route.path.endswith(":path}") else {name}:
            path = f"{beginning}/{last}"
            for method in route.methods or ():
                taking = [each for each in routes if each.matches(scope(path, method))[0] == FULL]
                if len(taking) > 1:
                    yield method, path, {each.path for each in taking}


def test_of_all_routes_that_take_a_path_the_one_with_the_longest_suffix_has_it() -> None:
    app: Any = every_task.application(every_task.EveryTask())
    made: RouteTable = app.router.routes
    routes = [each for each in made if isinstance(each, Route) and ":path}" in each.path]
    by_path = {route.path: route for route in routes}
    pairs = set()
    for method, path, taking in overlaps(routes):
        first, second, *_ = sorted(taking, key=lambda each: -suffix_length(by_path[each]))
        assert suffix_length(by_path[first]) > suffix_length(by_path[second]), path
        assert search(made, path, method)[0] == first, path
        pairs.add((first, second))
    below = "/models/{model_id:path}"
    assert {
        (f"{below}/pipeline/{{task}}", f"{below}/rerank"),
        (f"{below}/v1/rerank", f"{below}/rerank"),
        (f"{below}/v1/models/{{name:path}}", f"{below}/health"),
        (f"{below}/embed", below),
    } <= pairs


def test_a_route_is_found_by_its_suffix_wherever_it_was_added() -> None:
    given = ["/m/{id:path}", "/m/{id:path}/a", "/m/loaded", "/m/{id:path}/b/{name}"]
    for paths in permutations(given):
        made = table(*(Route(path, endpoint) for path in paths))
        found = [search(made, path)[0] for path in ("/m/loaded", "/m/x/b/a", "/m/x/a", "/m/x/c")]
        assert found == ["/m/loaded", "/m/{id:path}/b/{name}", "/m/{id:path}/a", "/m/{id:path}"]


def test_a_known_path_asks_no_route_again() -> None:
    route = Counting("/a", endpoint)
    made = table(route)
    for _ in range(3):
        assert search(made, "/a")[0] == "/a"
    assert route.asked == 1


def test_methods_are_told_apart() -> None:
    made = table(Route("/a", endpoint, methods=["POST"]))
    assert search(made, "/a") == (None, {})
    assert search(made, "/a", "POST")[0] == "/a"


def test_a_request_cannot_change_the_parameters_of_the_next() -> None:
    made = table(Route("/{name}", endpoint))
    search(made, "/a")[1]["name"] = "changed"
    assert search(made, "/a")[1] == {"name": "a"}


def test_the_paths_that_are_remembered_are_bounded() -> None:
    route = Counting("/{name:path}", endpoint)
    made = table(route)
    for number in range(2 * REMEMBERED_PATHS):
        search(made, f"/{number}")
    assert made.find.cache_info().currsize == REMEMBERED_PATHS
    search(made, "/" + "x" * MAX_PATH)
    assert made.find.cache_info().misses == 2 * REMEMBERED_PATHS


async def test_a_mount_and_a_router_that_includes_another_still_work() -> None:
    inner, outer = APIRouter(), APIRouter()

    @inner.get("/inner/{name}")
    async def read(name: str) -> str:
        return name

    outer.include_router(inner, prefix="/outer")
    app, mounted = FastAPI(), FastAPI()
    mounted.get("/there")(lambda: "mounted")
    app.router.routes = RouteTable([Mount("/mount", mounted), *outer.routes])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://house"
    ) as client:
        for _ in range(2):
            assert (await client.get("/outer/inner/a")).json() == "a"
            assert (await client.get("/mount/there")).json() == "mounted"


@pytest.mark.parametrize(
    ("method", "path", "tag"),
    [
        ("POST", f"{NATIVE}/classify", f"{NATIVE}/classify"),
        ("GET", "/health", "/health"),
        ("GET", "/v1/models/house/fast", "/v1/models/{model_id:path}"),
        ("GET", "/nothing", None),
    ],
)
def test_serve_finds_the_route_for_its_metrics(method: str, path: str, tag: str | None) -> None:
    app: Any = house.app()
    for _ in range(2):
        assert get_asgi_route_name(app, scope(path, method)) == tag


def test_serve_finds_the_paths_of_all_routes_at_the_start() -> None:
    app: Any = house.app()
    patterns = {pattern.path: pattern.methods for pattern in extract_route_patterns(app)}
    assert patterns["/"] == ["GET"]
    assert patterns[f"{NATIVE}/classify"] == ["POST"]
