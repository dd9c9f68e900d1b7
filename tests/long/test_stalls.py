"""No request stops the others, over HTTP: whatever a body holds, liveness is answered beside it.

Runs against the graph of ``PRSM_TEST_URL`` where that is set; its processes are then those of this
machine's Serve.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain

import httpx
import psutil
import pytest

from configs.profile_file import load_profile
from configs.settings import Settings
from serve_app.ingress.app import routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.routes.context import NATIVE_PREFIX
from tests.e2e.conftest import Graph
from tests.long.beside import Beside, liveness
from tests.serve_app.bodies import MIB, Place, more_wrong, oddities, places, wrong

MAX_LATENCY_S = 0.5
"""Of liveness, beside a request; on a quiet machine it is a tenth of that."""

TRIES = 8
"""A stall is there each time; a pause of the machine is over after a few."""

PAUSE_S = 0.005
MAX_GROWTH = 300 * MIB
JSON = "application/json"
FORM = "multipart/form-data; boundary=x"
ANSWERS = {200, 400, 404, 413, 415, 429}


def processes(graph: Graph) -> list[psutil.Process]:
    """The replicas, and what they started."""
    started = graph.launcher.children(recursive=True) if graph.launcher else psutil.process_iter()
    found = [each for each in started if "ServeReplica:prsm" in _command(each)]
    return [*found, *chain.from_iterable(each.children(recursive=True) for each in found)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture
def memory(graph: Graph) -> Iterator[None]:
    """No process of the graph grows by more than so much while the test runs."""
    before = {each: each.memory_info().rss for each in processes(graph)}
    yield
    grown = {
        _command(each)[:60]: (each.memory_info().rss - rss) // MIB
        for each, rss in before.items()
        if each.is_running() and each.memory_info().rss - rss > MAX_GROWTH
    }
    assert grown == {}


@pytest.fixture(scope="module")
def every_place(graph: Graph) -> list[Place]:
    profile = load_profile("embedded")
    document = httpx.get(f"{graph.url}/openapi.json").json()
    return list(places(document, routers_of(profile), Catalog(profile, Settings())))


def faults(graph: Graph, bodies: Iterable[tuple[str, str, bytes, str]]) -> list[str]:
    """The requests beside which liveness took too long, or which were not answered as they are."""
    at_fault: list[str] = []
    with (
        Beside(liveness, graph.url, PAUSE_S) as beside,
        httpx.Client(base_url=graph.url, timeout=300) as client,
    ):
        for name, route, body, media_type in bodies:
            for attempt in range(TRIES):
                time.sleep(attempt / 4)
                beside.taken()
                headers = {"content-type": media_type}
                status = client.post(route, content=body, headers=headers).status_code
                longest = beside.taken()
                if longest < MAX_LATENCY_S:
                    break
            if longest >= MAX_LATENCY_S or status not in ANSWERS:
                at_fault.append(f"{route} {name} {body[:60]!r}: {longest:.2f} s, {status}")
    return at_fault


@pytest.mark.parametrize("kind", ["array", "object", "string", "integer", "number"])
@pytest.mark.usefixtures("memory")
def test_wrong_items_everywhere(graph: Graph, every_place: list[Place], kind: str) -> None:
    found = (place for place in every_place if place.kind == kind)
    bodies = (
        (place.name, place.route, place.filled(content), JSON)
        for place in found
        for content in chain(wrong(place), more_wrong(place))
    )
    assert faults(graph, bodies) == []


@pytest.mark.parametrize(
    "route",
    ["/v1/embeddings", "/v1/chat/completions", "/v1/rerank", f"{NATIVE_PREFIX}/graph"],
)
@pytest.mark.usefixtures("memory")
def test_what_takes_a_parser_long(graph: Graph, route: str) -> None:
    assert faults(graph, (("body", route, body, JSON) for body in oddities())) == []


@pytest.mark.usefixtures("memory")
def test_forms_that_take_a_parser_long(graph: Graph) -> None:
    route = f"{NATIVE_PREFIX}/vision/question"
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n--x--'
    bodies = [
        *(
            (charset, route, part % (b"question", b"a-" * 50_000) + b"--x--", f"{FORM}; {charset}")
            for charset in ("charset=punycode", "charset=idna", "charset=undefined", "charset=utf7")
        ),
        ("headers", route, b"--x\r\n" + b"a: b\r\n" * (MIB + MIB // 2), FORM),
        ("a header", route, b"--x\r\na: " + b"b" * (9 * MIB), FORM),
        ("parts", route, b"".join(part % (b"p%d" % i, b"") for i in range(99_999)), FORM),
        *(
            ("file", route, file % (near * (9 * MIB // len(near))), FORM)
            for near in (b"\r", b"\r\n", b"\r\n--", b"\r\n--y", b"-", b"\0")
        ),
        ("parameters", route, file % b"a", FORM + "; a=" + ";" * 8000),
    ]
    assert faults(graph, bodies) == []
