"""Fields within request bodies by their paths, as the compatibility table writes them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any


def places(body: Any, path: str, within: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of ``body`` that can have the field at ``path``, and its place in each.

    The place of ``messages[].role`` is ``messages.0.role``, ``messages.1.role`` and so on.
    """
    part, _, rest = path.partition(".")
    if not rest:
        yield body, within + part
        return
    name, _, kinds = part.partition("[")
    kinds = kinds.rstrip("]")
    for there, each in _inner(body, name):
        if isinstance(each, dict) and (not kinds or each.get("type") in kinds.split("|")):
            yield from places(each, rest, f"{within}{there}.")


def _inner(body: dict[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """What is under a name, or under any for ``*``: an object, or the items of a list."""
    for each, value in body.items():
        if name in (each, "*"):
            if isinstance(value, list):
                yield from ((f"{each}.{index}", item) for index, item in enumerate(value))
            else:
                yield each, value


def has(body: Any, path: str) -> bool:
    """Whether a body gives a field."""
    return any(place.rpartition(".")[2] in each for each, place in places(body, path))


def value_of(body: Any, path: str) -> Any:
    """The first value of a field that a body gives."""
    for each, place in places(body, path):
        if (name := place.rpartition(".")[2]) in each:
            return each[name]
    raise KeyError(path)


def with_value(body: Any, path: str, value: Any) -> tuple[Any, str]:
    """``body`` with another value in the first place of a field, and that place.

    Objects that the field is in are made if the body has none.
    """
    changed = deepcopy(body)
    found = next(places(changed, path), None)
    if found is None:
        outer, _, name = path.rpartition(".")
        return with_value(changed, outer, {name: value})[0], path
    found[0][path.rpartition(".")[2]] = value
    return changed, found[1]


def without(body: Any, path: str) -> Any:
    """``body`` without a field, wherever it has it."""
    changed = deepcopy(body)
    for each, place in list(places(changed, path)):
        each.pop(place.rpartition(".")[2], None)
    return changed
