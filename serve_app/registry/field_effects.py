"""What each field of a request body does, read from the marks at the fields."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from serve_app.ingress.validation.effects import NoEffectMark, NoEffectWithin
from serve_app.ingress.validation.fields import Body
from serve_app.registry.field_values import NOTHING, FieldValues, field_values

Effect: TypeAlias = Literal["honoured", "no effect", "refused"]
ITEMS = re.compile(r"\[.*?\]")


@dataclass(frozen=True, slots=True)
class BodyField:
    """A field of a body, or of an object within one.

    ``path`` is as a request spells it, ``[]`` stands for the items of a list, ``*`` for any name.
    Where those are of several types, ``[tool_use]`` stands for the ones of that type. ``repeated``
    fields have no effect, but are in the answer.
    """

    path: str
    effect: Effect
    values: FieldValues
    about: str
    required: bool
    repeated: bool


def fields_of(body: type[Body]) -> Iterator[BodyField]:
    """Every field of ``body``, and of the objects within it; those of its own class come first."""
    return _fields_within(body, "", None, frozenset())


def _fields_within(
    body: type[Body], path: str, outer: NoEffectMark | None, unused: frozenset[str]
) -> Iterator[BodyField]:
    """``outer`` is the mark of the object that these fields are in.

    ``unused``: dotted paths, without ``[]``, of fields that :class:`NoEffectWithin` marks.
    """
    values = field_values(body)
    for name in _in_order(body):
        info = body.model_fields[name]
        there = path + (info.alias or name)
        mark = _mark(info)
        about = [info.description, *_descriptions(info.annotation), mark.about if mark else ""]
        if mark is None and (outer is not None or _plain(there) in unused):
            mark, about = outer or NoEffectMark(), []  # a description says what it does elsewhere
        refused = info.annotation is NoneType
        yield BodyField(
            there,
            "refused" if refused else "no effect" if mark else "honoured",
            NOTHING if refused else values[info.alias or name],
            "; ".join(each for each in about if each),
            info.is_required(),
            bool(mark and mark.repeated),
        )
        if not refused:
            within = [each for each in info.metadata if isinstance(each, NoEffectWithin)]
            inner_unused = {f"{_plain(there)}.{each}" for mark in within for each in mark.names}
            for inner, suffix in _bodies(info.annotation):
                yield from _fields_within(
                    inner, f"{there}{suffix}.", mark, unused | frozenset(inner_unused)
                )


def bodies_of(annotation: Any) -> list[type[Body]]:
    """The bodies that an annotation means: one, or those of a union."""
    return [body for body, _ in _bodies(annotation)]


def _in_order(body: type[Body]) -> list[str]:
    """The names of the fields: those that the class itself has first, then its bases'."""
    declared = [name for each in body.__mro__ for name in inspect.get_annotations(each)]
    return [name for name in dict.fromkeys(declared) if name in body.model_fields]


def _plain(path: str) -> str:
    """A path without its lists: ``tools[].strict`` is ``tools.strict``."""
    return ITEMS.sub("", path)


def _mark(info: FieldInfo) -> NoEffectMark | None:
    return next((each for each in info.metadata if isinstance(each, NoEffectMark)), None)


def _descriptions(annotation: Any) -> Iterator[str]:
    """Those of a field's types, as of one that may also be ``None``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _descriptions(arguments[0])
        for each in arguments[1:]:
            if isinstance(each, FieldInfo) and each.description:
                yield each.description
    elif origin in (Union, UnionType):
        for each in arguments:
            yield from _descriptions(each)


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
