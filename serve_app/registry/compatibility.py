"""The compatibility table: which fields of other servers' APIs are honoured, and which are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastapi.routing import APIRoute

from serve_app.ingress.routes.huggingface.routers import hub_routers
from serve_app.ingress.routes.inference_router import hub_tasks_of
from serve_app.ingress.validation.fields import Body
from serve_app.registry.field_effects import EFFECTS, BodyField, bodies_of, fields_of
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


HEAD = "| field | effect | values | |\n|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class RouteBody:
    """A body of one or more routes. ``variant`` tells it from others of the same routes."""

    api: str
    routes: tuple[str, ...]
    variant: str
    body: type[Body]

    @property
    def title(self) -> str:
        routes = ", ".join(f"`{each}`" for each in self.routes)
        return f"{routes}: {self.variant}" if self.variant else routes


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
    """The table in Markdown: a section for each API, and in it a table for each body.

    Of a body that is another one with a few fields changed, the table has those fields alone.
    """
    parts: list[str] = []
    bodies = route_bodies()
    api = ""
    for each in bodies:
        if each.api != api:
            api = each.api
            parts.append(f"## {api}")
        base = next((other for other in bodies if _is_based_on(each, other)), None)
        fields = list(fields_of(each.body))
        title = each.title
        if base is not None:
            rows = {_row(field) for field in fields_of(base.body)}
            fields = [field for field in fields if _row(field) not in rows]
            title += f", as {base.title} but for:"
        parts.append("\n".join([title, "", HEAD, *map(_row, _sorted(fields))]))
    return "\n\n".join(parts)


def _is_based_on(each: RouteBody, other: RouteBody) -> bool:
    return each.body is not other.body and issubclass(each.body, other.body)


def _sorted(fields: Iterable[BodyField]) -> list[BodyField]:
    """Those that are honoured first, then those without effect."""
    return sorted(fields, key=lambda field: EFFECTS.index(field.effect))


def _all_bodies() -> Iterator[tuple[str, str, type[Body], str]]:
    """API, path, body and variant of every body."""
    shipped = shipped_routers()
    tasks = hub_tasks_of(shipped)
    for router in (*shipped, *hub_routers(tasks)):
        for route in router.routes:
            if isinstance(route, APIRoute) and route.body_field is not None:
                yield from _of_route(route)
    for task in tasks:
        yield APIS["hugging face"], "/models/{model_id}", task.body, f"`{task.name}`"


def _of_route(route: APIRoute) -> Iterator[tuple[str, str, type[Body], str]]:
    tags = [str(tag) for tag in route.tags if tag in APIS]
    assert route.body_field is not None
    bodies = bodies_of(route.body_field.field_info.annotation)
    path = route.path_format
    for place, body in enumerate(bodies):
        tag = tags[min(place, len(tags) - 1)] if tags else ""
        if tag:
            required = [name for name, info in body.model_fields.items() if info.is_required()]
            variant = f"with `{required[-1]}`" if len(bodies) > 1 else ""
            yield APIS[tag], path, body, variant


def _row(field: BodyField) -> str:
    values = ", ".join(f"`{each}`" for each in field.values)
    cells = (f"`{field.path}`", field.effect, values, _escaped(field.about))
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
