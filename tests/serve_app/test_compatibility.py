"""The compatibility table is true of the service: each field is sent, in every body that has it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.routing import APIRoute

from serve_app.cli import main
from serve_app.ingress.audio import SILENCE
from serve_app.ingress.routes.huggingface.routers import hub_routers
from serve_app.ingress.routes.inference_router import hub_tasks_of
from serve_app.ingress.routes.vision import RED_DOT
from serve_app.registry.compatibility import APIS, IN_PATH, RouteBody, route_bodies
from serve_app.registry.field_effects import BodyField
from serve_app.registry.task_names import shipped_routers
from tests.serve_app.api_bodies import FULL
from tests.serve_app.body_paths import has, places, value_of, with_value, without
from tests.serve_app.every_task import MODEL, EveryTask, application
from tests.serve_app.json_post import json_post

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
VALUES: list[Any] = ["x", 1, True, {"a": "x"}, [], ["x"], {}, RED_DOT, {"type": "disabled"}]
"""Of every type that a field may have."""

WRONG: list[Any] = ["no such value", 2, True, False, ["no such value"], {"no": "such value"}]
PNG = base64.b64decode(RED_DOT.partition(",")[2])
OTHER_PNG = base64.b64encode(PNG + b"\0").decode()
OTHER_FILES = {
    RED_DOT: OTHER_PNG,
    RED_DOT.partition(",")[2]: OTHER_PNG,
    SILENCE: SILENCE.removesuffix("AA==") + "AQ==",
}
UNKNOWN = "no_such_field"
OF_EVERY_TASK = {f"/models/{IN_PATH}", f"/models/{IN_PATH}/pipeline/{{task}}"}
"""These have the bodies of all of Hugging Face's tasks, which the table has by their names."""

CALL_IDS = ("messages[].tool_calls[].id", "messages[].tool_call_id")
"""They decide whether a request is right, and the error names ``tool_call_id`` where it is not."""

SEED = 3
BODIES = route_bodies()
FIELDS = {each: each.fields for each in BODIES}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: its status and answer, and the requests to the model."""

    status: int
    answer: str
    requests: list[Any]


class Service:
    """The application, and the requests that its model got."""

    def __init__(self, folder: Path) -> None:
        self.family = EveryTask()
        self.app: FastAPI = application(self.family, hf_cache_dir=folder)

    async def outcome(self, route: str, body: Any) -> Outcome:
        """Without what differs each time."""
        self.family.requests.clear()
        path = route.replace(IN_PATH, MODEL)
        status, answer = await json_post(
            self.app, path, json.dumps(body).encode(), **{"x-request-id": "the-same"}
        )
        text = re.sub(r'"(created|created_at)":\d+', "", answer.decode())
        requests = [asdict(each) for each in self.family.requests if is_dataclass(each)]  # type: ignore[arg-type]
        return Outcome(status, text, requests)


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("secrets.randbelow", lambda _: SEED)
    made = Service(tmp_path)
    yield made
    await made.app.state.conversations.close()


def test_every_route_of_the_apis_has_a_body_in_the_table() -> None:
    there = {path for each in BODIES for path in each.routes} | OF_EVERY_TASK
    shipped = shipped_routers()
    for router in (*shipped, *hub_routers(hub_tasks_of(shipped))):
        for route in router.routes:
            if isinstance(route, APIRoute) and APIS.keys() & set(route.tags):
                assert "POST" not in (route.methods or ()) or route.path_format in there


def test_every_body_of_the_table_has_requests_with_its_fields() -> None:
    assert {each.body for each in BODIES} == FULL.keys()
    for each in BODIES:
        for field in FIELDS[each]:
            if field.effect == "honoured":
                assert any(has(body, field.path) for body in FULL[each.body]), field.path


async def test_what_is_honoured_changes_the_requests_to_the_model_or_the_answer(
    service: Service,
) -> None:
    unused = []
    for each in BODIES:
        plain = [await service.outcome(each.routes[0], body) for body in FULL[each.body]]
        assert {outcome.status for outcome in plain} == {200}, (each.title, plain)
        for field in FIELDS[each]:
            if field.effect == "honoured" and not (is_kind(field) or is_outer(field, each)):
                given = zip(FULL[each.body], plain, strict=True)
                sent = [pair for pair in given if has(pair[0], field.path)]
                if not any([await differs(service, each, field, *pair) for pair in sent]):
                    unused.append((each.title, field.path))
    assert not unused, "\n".join(map(str, unused))


def is_kind(field: BodyField) -> bool:
    """Whether it only says which type of object its object is: nothing else could be sent."""
    return field.path.endswith("type") and len(field.values.constants) == 1


def is_outer(field: BodyField, each: RouteBody) -> bool:
    """Whether it is an object with fields that are honoured themselves."""
    inner = re.compile(re.escape(field.path) + r"(\[.*?\])?\.")
    return any(inner.match(each.path) and each.effect == "honoured" for each in FIELDS[each])


async def differs(
    service: Service, each: RouteBody, field: BodyField, body: Any, plain: Outcome
) -> bool:
    """Whether another value of a field, or none, has another outcome."""
    for changed in others(body, field):
        outcome = await service.outcome(each.routes[0], changed)
        if outcome.status == 200 and outcome != plain:
            return True
        if field.path == "model" and outcome.status == 404:
            return True
        if field.path in CALL_IDS and outcome.status == 400:
            return "tool_call_id" in outcome.answer
    return False


def others(body: Any, field: BodyField) -> Iterator[Any]:
    """``body`` without a field, and with other values of it."""
    if not field.required:
        yield without(body, field.path)
    value = value_of(body, field.path)
    for other in map(json.loads, field.values.sendable) if field.values.sendable else like(value):
        if other != value:
            yield with_value(body, field.path, other)[0]
            if isinstance(value, str):  # names and ids are the same in several places
                yield json.loads(json.dumps(body).replace(json.dumps(value), json.dumps(other)))


def like(value: Any) -> Iterator[Any]:
    """Other values of the type of ``value``."""
    match value:
        case str() if value in OTHER_FILES:
            yield OTHER_FILES[value]
        case bool():
            yield not value
        case int() | float():
            yield from (value + 1, value / 2 if isinstance(value, float) else value - 1)
        case str():
            yield value + "y"
            yield value.replace('"x"', '"y"')
        case [first, *rest]:
            for other in like(first):
                yield [other, *rest]
        case dict():
            for name, inner in value.items():
                for other in like(inner):
                    yield {**value, name: other}


async def test_every_route_of_a_body_sends_the_model_the_same(service: Service) -> None:
    for each in BODIES:
        for body in FULL[each.body]:
            one = without(body, "parameters.best_of")  # a stream has one text
            found = {route: await service.outcome(route, one) for route in each.routes}
            for route, outcome in found.items():
                assert outcome.status == 200, (route, body)
                assert outcome.requests, route
                if route.endswith("_stream") == each.routes[0].endswith("_stream"):
                    assert outcome.requests == found[each.routes[0]].requests, route


async def test_the_path_names_the_model_below_models(service: Service) -> None:
    for each in BODIES:
        if any(field.path == "model" for field in FIELDS[each]):
            body = {**FULL[each.body][0], "model": "no such model"}
            for route in each.routes:
                outcome = await service.outcome(route, body)
                assert outcome.status == (200 if IN_PATH in route else 404), (route, outcome)


async def test_what_has_no_effect_changes_neither_the_requests_to_the_model_nor_the_answer(
    service: Service,
) -> None:
    for each in BODIES:
        for field in FIELDS[each]:
            if field.effect == "no effect":
                body, tried = place_of(each, field), 0
                before = await service.outcome(each.routes[0], body)
                values = [json.loads(each) for each in field.values.sendable] or VALUES
                sent = [with_value(body, field.path, value)[0] for value in values]
                if has(body, field.path) and not field.required:
                    sent.append(without(body, field.path))
                for changed in sent:
                    outcome = await service.outcome(each.routes[0], changed)
                    if outcome.status == 400 and not field.values.sendable:
                        continue  # of another type
                    assert outcome.requests == before.requests, (each.title, changed)
                    assert outcome.status == before.status
                    if not field.repeated:
                        assert outcome.answer == before.answer, (each.title, changed)
                    tried += 1
                assert tried, (each.title, field.path)


async def test_values_that_are_not_in_the_table_are_refused_by_name(service: Service) -> None:
    for each in BODIES:
        for field in FIELDS[each]:
            if field.effect == "refused" or field.values.constants:
                taken = [json.loads(one) for one in field.values.sendable]  # where 1 is also true
                for value in WRONG:
                    if value not in taken:
                        await refused(service, each, field.path, place_of(each, field), value)


async def test_unknown_fields_are_refused_by_name_wherever_they_are(service: Service) -> None:
    for each in BODIES:
        parents = {field.path.rpartition(".")[0]: field for field in FIELDS[each]}
        for parent, field in parents.items():
            path = f"{parent}.{UNKNOWN}".lstrip(".")
            await refused(service, each, path, place_of(each, field), 1)


def place_of(each: RouteBody, field: BodyField) -> dict[str, Any]:
    """The first of the body's requests that has a field, or a place for it, or else the first."""
    bodies = FULL[each.body]
    there = [body for body in bodies if any(places(body, field.path))]
    return next((body for body in there if has(body, field.path)), [*there, bodies[0]][0])


async def refused(service: Service, each: RouteBody, path: str, body: Any, value: Any) -> None:
    changed, place = with_value(deepcopy(body), path, value)
    outcome = await service.outcome(each.routes[0], changed)
    assert outcome.status == 400, (each.title, place, value, outcome)
    assert place in outcome.answer, (each.title, place, value, outcome)
    assert not outcome.requests


def test_the_page_is_the_one_that_the_command_makes() -> None:
    """`prsm-serve compatibility` prints the table."""
    begin, end = (
        "<!-- fields: made by `prsm-serve compatibility` -->\n",
        "<!-- end of fields -->",
    )
    there = PAGE.read_text().partition(begin)[2].partition(end)[0]
    assert there.strip() == CliRunner().invoke(main, ["compatibility"]).output.strip()
