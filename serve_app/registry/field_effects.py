"""What each field of a request body does, read from the marks at the fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from serve_app.ingress.validation.effects import NoEffectMark
from serve_app.ingress.validation.fields import Body

Effect: TypeAlias = Literal["honoured", "no effect", "refused"]
EFFECTS: tuple[Effect, ...] = ("honoured", "no effect", "refused")


@dataclass(frozen=True, slots=True)
class BodyField:
    """A field of a body, or of an object within one.

    ``path`` is as a request spells it, ``[]`` stands for the items of a list, ``*`` for any name.
    Where those are of several types, ``[tool_use]`` stands for the ones of that type. ``values``
    are the only ones that are taken, as JSON, where they are few; others are refused.
    """

    path: str
    body: type[Body]
    name: str
    effect: Effect
    values: tuple[str, ...]
    about: str
    mark: NoEffectMark | None


def fields_of(body: type[Body], path: str = "") -> Iterator[BodyField]:
    """Every field of ``body``, and of the objects within it, in their order.

    Fields of an object that has no effect are left out: they have none either.
    """
    for name, info in body.model_fields.items():
        field = _field(body, name, info, path)
        yield field
        if field.effect == "honoured":
            for inner, suffix in _bodies(info.annotation):
                yield from fields_of(inner, f"{field.path}{suffix}.")


def bodies_of(annotation: Any) -> list[type[Body]]:
    """The bodies that an annotation means: one, or those of a union."""
    return [body for body, _ in _bodies(annotation)]


def _field(body: type[Body], name: str, info: FieldInfo, path: str) -> BodyField:
    mark = next((each for each in info.metadata if isinstance(each, NoEffectMark)), None)
    effect: Effect = "honoured" if mark is None else "no effect"
    if info.annotation is NoneType:
        effect = "refused"
    about = [each for each in (info.description, mark.about if mark else "") if each]
    return BodyField(
        path + (info.alias or name),
        body,
        name,
        effect,
        () if effect == "refused" else _values(info),
        "; ".join(about),
        mark,
    )


def _bodies(annotation: Any) -> list[tuple[type[Body], str]]:
    """The bodies within an annotation, each with how its place is written."""
    found = list(_within(annotation, ""))
    several = len([body for body, suffix in found if suffix]) > 1
    return [(body, _kinds(body, suffix) if several else suffix) for body, suffix in found]


def _within(annotation: Any, suffix: str) -> Iterator[tuple[type[Body], str]]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Body):
        yield annotation, suffix
    elif origin is Annotated:
        yield from _within(arguments[0], suffix)
    elif origin in (Union, UnionType):
        for each in arguments:
            yield from _within(each, suffix)
    elif origin is list:
        yield from _within(arguments[0], "[]")
    elif origin is dict:
        yield from _within(arguments[1], ".*")


def _kinds(body: type[Body], suffix: str) -> str:
    """``[type]`` in the place of ``[]``, and behind ``.*``, for items of several types."""
    kind = body.model_fields.get("type")
    kinds = [each for each in _literals(kind.annotation) if each] if kind else []
    return f"{suffix.removesuffix('[]')}[{'|'.join(kinds)}]" if suffix and kinds else suffix


def _literals(annotation: Any) -> Iterator[str]:
    for each in get_args(annotation):
        yield from [each] if isinstance(each, str) else _literals(each)


def _values(info: FieldInfo) -> tuple[str, ...]:
    """The few values that a field takes, apart from ``null``; none where there are many."""
    if bodies_of(info.annotation):
        return ()
    annotation: Any = info.annotation
    for constraint in info.metadata:
        annotation = Annotated[annotation, constraint]
    schema = TypeAdapter(annotation, config={"arbitrary_types_allowed": True}).json_schema()
    return tuple(dict.fromkeys(_listed(schema)))


def _listed(schema: Mapping[str, Any]) -> Iterator[str]:
    branches = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    found = [_constants(each) for each in branches]
    if all(found):
        for values in found:
            yield from values


def _constants(schema: Mapping[str, Any]) -> list[str]:
    """The values of a schema that has few, as JSON."""
    if "const" in schema or "enum" in schema:
        given = [schema["const"]] if "const" in schema else schema["enum"]
        return [_json(each) for each in given]
    if schema.get("maxProperties") == 0:
        return ["{}"]
    if schema.get("type") == "array":
        return ["[]"] if schema.get("maxItems") == 0 else _lists(schema.get("items", {}))
    if "minimum" in schema and schema["minimum"] == schema.get("maximum"):
        return [_json(schema["minimum"])]
    return []


def _lists(items: Mapping[str, Any]) -> list[str]:
    return [f"[{each}]" for each in _constants(items)]


def _json(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
