"""The compatibility table is true of the service: each field is sent, in every body that has it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from serve_app.cli import main
from serve_app.ingress.routes.vision import RED_DOT
from serve_app.ingress.validation.fields import Body
from serve_app.registry.compatibility import RouteBody, route_bodies, table
from serve_app.registry.field_effects import BodyField, fields_of
from tests.serve_app.answering import MODEL, Answering, application, posted
from tests.serve_app.api_bodies import FULL

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
VALUES: list[Any] = ["x", 1, True, {"a": "x"}, [], ["x"], {}, RED_DOT, {"type": "disabled"}]
"""Of every type that a field may have."""

WRONG: list[Any] = ["no such value", 2, True, False, ["no such value"], {"no": "such value"}]
UNKNOWN = "no_such_field"
BODIES = route_bodies()


def route_of(each: RouteBody) -> str:
    route = each.routes[0].replace("{model_id}", MODEL)
    task = each.variant.strip("`")
    return f"{route}/pipeline/{task}" if each.routes[0] == "/models/{model_id}" else route


def objects(body: Any, parent: str) -> Iterator[dict[str, Any]]:
    """The objects of ``body`` that a path without its last part means."""
    if not parent:
        yield body
        return
    part, _, rest = parent.partition(".")
    name, _, kinds = part.partition("[")
    inner, kinds = list(body.values()) if name == "*" else body.get(name), kinds.rstrip("]")
    for each in inner if isinstance(inner, list) else [inner]:
        if isinstance(each, dict) and (not kinds or each.get("type") in kinds.split("|")):
            yield from objects(each, rest)


def has(body: Any, path: str) -> bool:
    """Whether a body gives a field."""
    parent, _, name = path.rpartition(".")
    return any(name in each for each in objects(body, parent))


def with_value(body: Any, path: str, value: Any) -> Any:
    """``body`` with another value in the first place of a field."""
    changed = deepcopy(body)
    parent, _, name = path.rpartition(".")
    next(objects(changed, parent))[name] = value
    return changed


class Service:
    """The application, and what its model was asked by each request."""

    def __init__(self, folder: Path) -> None:
        self.family = Answering()
        self.app: FastAPI = application(self.family, hf_cache_dir=folder)

    async def answers(self, route: str, body: Any) -> tuple[int, str]:
        """Status and answer, without what differs each time."""
        self.family.asked.clear()
        status, answer = await posted(self.app, route, json.dumps(body).encode())
        return status, re.sub(r'"(created|created_at)":\d+', "", answer.decode())

    def asked(self) -> list[Any]:
        """What the model was asked, without the seeds that are drawn for requests without one."""
        return [_without_seed(asdict(each)) for each in self.family.asked if is_dataclass(each)]  # type: ignore[arg-type]


def _without_seed(request: dict[str, Any]) -> dict[str, Any]:
    if "sampling" in request:
        request["sampling"].pop("seed")
    return request


@pytest.fixture
async def service(tmp_path: Path) -> Any:
    made = Service(tmp_path)
    yield made
    await made.app.state.conversations.close()


@contextmanager
def recorded_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[type[Body], str]]]:
    """The fields of bodies that code reads, apart from validators."""
    reads: set[tuple[type[Body], str]] = set()

    def read(self: Body, name: str) -> Any:
        cls = object.__getattribute__(self, "__class__")
        if name in cls.model_fields:
            reader = sys._getframe(1).f_code.co_name
            if reader not in cls.__pydantic_decorators__.model_validators:
                reads.add((cls, name))
        return object.__getattribute__(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Body, "__getattribute__", read, raising=False)
        yield reads


def is_kind(field: BodyField) -> bool:
    """Whether it says which type of object its object is: pydantic reads it, nobody else does."""
    return field.name == "type" and bool(field.values)


def test_every_body_of_the_table_has_requests_with_its_fields() -> None:
    assert {each.body for each in BODIES} == FULL.keys()


async def test_what_is_honoured_is_read_and_what_has_no_effect_is_not(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread, unsent = [], []
    with recorded_reads(monkeypatch) as reads:
        for each in BODIES:
            for body in FULL[each.body]:
                status, answer = await service.answers(route_of(each), body)
                assert status == 200, (each.title, body, answer)
    for each in BODIES:
        for field in fields_of(each.body):
            if field.effect == "honoured" and not is_kind(field):
                if not any(has(body, field.path) for body in FULL[each.body]):
                    unsent.append((each.title, field.path))
                if (field.body, field.name) not in reads:
                    unread.append((each.title, field.path))
            elif field.mark and not (field.mark.about or is_kind(field)):
                assert (field.body, field.name) not in reads, (each.title, field.path)
    assert not unsent
    assert not unread


async def test_what_has_no_effect_changes_neither_the_calls_of_models_nor_the_answer(
    service: Service,
) -> None:
    for each in BODIES:
        route = route_of(each)
        without: dict[str, tuple[tuple[int, str], list[Any]]] = {}
        for field in fields_of(each.body):
            if field.effect == "no effect":
                body, tried = place_of(each, field), 0
                key = json.dumps(body)
                if key not in without:
                    without[key] = await service.answers(route, body), service.asked()
                before = without[key]
                for value in [json.loads(one) for one in field.values] or VALUES:
                    changed = with_value(body, field.path, value)
                    status, answer = await service.answers(route, changed)
                    if status == 400 and not field.values:
                        continue  # of another type
                    assert service.asked() == before[1], (each.title, field.path, value)
                    assert status == before[0][0]
                    if field.mark is None or not field.mark.repeated:
                        assert answer == before[0][1], (each.title, field.path, value)
                    tried += 1
                assert tried, (each.title, field.path)


async def test_values_that_are_not_in_the_table_are_refused_by_name(service: Service) -> None:
    for each in BODIES:
        for field in fields_of(each.body):
            if field.effect == "refused" or field.values:
                taken = [json.loads(one) for one in field.values]  # where 1 is also true
                body = place_of(each, field)
                for value in WRONG:
                    if value not in taken:
                        changed = with_value(body, field.path, value)
                        await refused(service, each, changed, field.path.rpartition(".")[2])


async def test_unknown_fields_are_refused_by_name_wherever_they_are(service: Service) -> None:
    for each in BODIES:
        parents = {field.path.rpartition(".")[0]: field for field in fields_of(each.body)}
        for parent, field in parents.items():
            body = place_of(each, field)
            path = f"{parent}.{UNKNOWN}".lstrip(".")
            await refused(service, each, with_value(body, path, 1), UNKNOWN)


def place_of(each: RouteBody, field: BodyField) -> dict[str, Any]:
    """The first of the body's requests that has a place for a field."""
    for body in FULL[each.body]:
        if next(objects(body, field.path.rpartition(".")[0]), None) is not None:
            return body
    raise AssertionError(f"no request of {each.title} has a place for {field.path}")


async def refused(service: Service, each: RouteBody, body: Any, name: str) -> None:
    status, answer = await service.answers(route_of(each), body)
    assert status == 400, (each.title, name, body, answer)
    assert re.search(rf"\b{name}\b", answer), (each.title, name, body, answer)
    assert not service.family.asked


def test_the_page_is_the_one_that_the_command_makes() -> None:
    """`prsm-serve compatibility` prints the table."""
    begin, end = (
        "<!-- fields: made by `prsm-serve compatibility` -->\n",
        "<!-- end of fields -->",
    )
    there = PAGE.read_text().partition(begin)[2].partition(end)[0]
    assert there.strip() == table()
    assert CliRunner().invoke(main, ["compatibility"]).output.strip() == table()
