"""The compatibility table: which fields of other servers' APIs are honoured, and which are not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi.routing import APIRoute

from serve_app.ingress.routes.huggingface.routers import hub_routers
from serve_app.ingress.routes.inference_router import hub_tasks_of
from serve_app.ingress.routes.upload_body import UploadBody
from serve_app.ingress.validation.fields import Body
from serve_app.registry.field_effects import BodyField, Effect, bodies_of, fields_of
from serve_app.registry.task_names import shipped_routers

APIS = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "hugging face": "Hugging Face",
    "text-embeddings-inference": "TEI",
    "text-generation-inference": "TGI",
    "cohere": "Cohere",
    "vllm": "vLLM",
    "transformers": "transformers",
}
"""The APIs of the table by the tags of their routes, in its order."""

TABLE_HEADER = "| field | effect | values | |\n|---|---|---|---|"
EFFECTS: dict[Effect, str] = {
    "honoured": "Honoured",
    "no effect": "No effect",
    "refused": "Refused",
}
IN_PATH = "{model_id}"
NO_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class RouteBody:
    """A body of one or more routes. ``variant`` tells it from others of the same routes."""

    api: str
    routes: tuple[str, ...]
    variant: str
    body: type[Body]

    @property
    def title(self) -> str:
        return f"`{self.routes[0]}`" + (f" {self.variant}" if self.variant else "")

    @property
    def anchor(self) -> str:
        return NO_ANCHOR.sub("", self.title.lower()).replace(" ", "-")

    @property
    def fields(self) -> list[BodyField]:
        """The fields of the body, with what the routes make of ``model``."""
        below = [IN_PATH in route for route in self.routes]
        note = "ignored below `/models/`, where the path names the model"
        return [
            replace(field, about=note)
            if field.path == "model" and field.effect == "honoured" and any(below)
            else field
            for field in fields_of(self.body)
        ]


@dataclass(frozen=True, slots=True)
class BodySection:
    """The lines about a body: all of its fields, or how they differ from those of ``base``."""

    body: RouteBody
    fields: tuple[BodyField, ...]
    base: RouteBody | None = None
    missing: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return len(self.fields) + len(self.missing)

    @property
    def text(self) -> str:
        return "\n\n".join(
            [f"### {self.body.title}", *self._intro(), *self._names(), *self._rows()]
        )

    def _intro(self) -> Iterator[str]:
        also = f"Also {_listed(self.body.routes[1:])}." if len(self.body.routes) > 1 else ""
        base = ""
        if self.base is not None:
            without = f", without {_listed(self.missing)}" if self.missing else ""
            differing = "; these fields differ:" if self.fields else "."
            base = f"As [{self.base.title}](#{self.base.anchor}){without}{differing}"
        if also or base:
            yield f"{also} {base}".strip()

    def _names(self) -> Iterator[str]:
        """For each effect, the names of the fields about which there is no more to say."""
        for effect, name in EFFECTS.items():
            bare = [each.path for each in self.fields if each.effect == effect and _is_bare(each)]
            if bare:
                yield f"{name}: {_listed(bare)}."

    def _rows(self) -> Iterator[str]:
        rows = [_row(each) for each in _sorted(self.fields) if not _is_bare(each)]
        if rows:
            yield "\n".join([TABLE_HEADER, *rows])


def route_bodies() -> list[RouteBody]:
    """The bodies of the routes of :data:`APIS`, each once, in the order of the APIs."""
    routes: dict[tuple[str, type[Body]], list[str]] = {}
    variants: dict[tuple[str, type[Body]], str] = {}
    for api, path, body, variant in _all_bodies():
        routes.setdefault((api, body), []).append(path)
        variants[api, body] = variant
    found = [
        RouteBody(api, tuple(dict.fromkeys(paths)), variants[api, body], body)
        for (api, body), paths in routes.items()
    ]
    return sorted(found, key=lambda each: list(APIS.values()).index(each.api))


def table() -> str:
    """The table in Markdown: a part for each API, and in it a section for each body.

    A body that shares most of its fields with one before it is listed by its differences.
    """
    parts: list[str] = []
    before: dict[RouteBody, list[BodyField]] = {}
    api = ""
    for each in route_bodies():
        if each.api != api:
            api = each.api
            parts.append(f"## {api}")
        fields = each.fields
        parts.append(_section(each, fields, before).text)
        before[each] = fields
    return "\n\n".join(parts)


def _section(
    each: RouteBody, fields: Sequence[BodyField], others: Mapping[RouteBody, Sequence[BodyField]]
) -> BodySection:
    """All fields of a body, or its differences from the most similar of ``others`` if few."""
    found = [_difference(each, fields, base, others[base]) for base in others]
    few = [section for section in found if 2 * section.size <= len(fields)]
    return min(few, key=lambda section: section.size, default=BodySection(each, tuple(fields)))


def _difference(
    each: RouteBody, fields: Sequence[BodyField], base: RouteBody, there: Sequence[BodyField]
) -> BodySection:
    added = tuple(field for field in fields if field not in there)
    paths = {field.path for field in fields}
    absent = [field.path for field in there if field.path not in paths]
    missing = tuple(path for path in absent if _parent(path) not in absent)
    return BodySection(each, added, base, missing)


def _parent(path: str) -> str:
    """The path of the object that a field is in, without the ``[]`` of the list that it is in."""
    return re.sub(r"\[[^]]*\]$", "", path.rpartition(".")[0])


def _sorted(fields: Iterable[BodyField]) -> list[BodyField]:
    """Those that are honoured first, then those without effect."""
    return sorted(fields, key=lambda field: list(EFFECTS).index(field.effect))


def _all_bodies() -> Iterator[tuple[str, str, type[Body], str]]:
    """API, path, body and variant of every body."""
    shipped = shipped_routers()
    tasks = hub_tasks_of(shipped)
    for router in (*shipped, *hub_routers(tasks)):
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield from _of_route(route)
    for task in tasks:
        yield APIS["hugging face"], f"/models/{IN_PATH}/pipeline/{task.name}", task.body, ""


def _of_route(route: APIRoute) -> Iterator[tuple[str, str, type[Body], str]]:
    tags = [str(tag) for tag in route.tags if tag in APIS]
    bodies = bodies_of(_annotation(route))
    path = route.path_format
    for place, body in enumerate(bodies):
        tag = tags[min(place, len(tags) - 1)] if tags else ""
        if tag:
            required = [name for name, info in body.model_fields.items() if info.is_required()]
            variant = f"with `{required[-1]}`" if len(bodies) > 1 else ""
            yield APIS[tag], path, body, variant


def _annotation(route: APIRoute) -> Any:
    """The annotation of a route's body, which FastAPI reads, or an :class:`UploadBody`."""
    if route.body_field is not None:
        return route.body_field.field_info.annotation
    reading = [each.call for each in route.dependant.dependencies]
    return next((each.model for each in reading if isinstance(each, UploadBody)), None)


def _is_bare(field: BodyField) -> bool:
    """Whether its name and effect say all about it."""
    return not (field.values.constants or field.about)


def _row(field: BodyField) -> str:
    cells = (f"`{field.path}`", field.effect, str(field.values), field.about)
    return f"| {' | '.join(map(_escaped, cells))} |"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
