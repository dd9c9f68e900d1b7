"""Errors of a configuration, as messages that name the file, the key and what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from configs.suggestions import Location, hint, keys_at

UNKNOWN_KEY = "extra_forbidden"
"""Pydantic's type of error for a key that a model does not have."""

EXAMPLES = {
    r"^[\w.]+:\w+$": ", as package.module:Name",
    r"^[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?$": ", as name or owner/name",
    r"^[a-z][a-z0-9_]*$": ", as small letters, digits and _",
    r"^[\w.-]+(/[\w.-]+)?$": ", as owner/repository",
    r"^[\w.*?\-]+(/[\w.*?\-]+)?$": ", as owner/repository, where * stands for any part",
    r"^[A-Za-z0-9][\w.-]*==[\w.!+]+$": ", as package==1.2.3",
    r"^[0-9a-f]{64}$": ", as the 64 digits of a SHA-256",
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$": ", as package or package.part",
}
"""An explanation for each pattern of a profile."""


class ConfigError(Exception):
    """A configuration that cannot be served. ``str(error)`` is a complete message to print."""

    def __init__(self, origin: str, problems: list[str]) -> None:
        self.origin = origin
        self.problems = problems
        super().__init__(origin, problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.origin}: {problem}" for problem in self.problems)


def explain(
    error: ValidationError,
    prefix: str = "",
    model: type[BaseModel] | None = None,
    content: Any = None,
) -> list[str]:
    """A line for each problem: ``key.path: what was expected (got what was found)``.

    With the ``model`` that raised the error, the line about an unknown key suggests a known one.
    With the ``content`` that was refused, the line about an entry of a list has the entry's name.
    """
    lines = []
    details = error.errors(include_url=False)
    for item in details:
        # A list whose only item is wrong is also reported as empty, which is not the mistake.
        within = len(item["loc"])
        if item["type"] == "too_short" and any(
            each["loc"][:within] == item["loc"] for each in details if len(each["loc"]) > within
        ):
            continue
        path = ".".join(str(part) for part in item["loc"])
        where = ".".join(part for part in (prefix, path) if part) or "(whole file)"
        named = ", ".join(_names(item["loc"], content))
        message = (
            _unknown_key(item["loc"], model)
            if item["type"] == UNKNOWN_KEY
            else _message(item, path)
        )
        lines.append(f"{where}{f' ({named})' if named else ''}: {message}")
    return lines


def _message(item: ErrorDetails, path: str) -> str:
    found = item["input"]
    plain = isinstance(found, str | int | float | bool | None)
    secret = path.lower().endswith(("token", "_url"))
    shown = f" (got {found!r})" if plain and not secret else ""
    message = " ".join(item["msg"].removeprefix("Value error, ").split())
    message = message.replace("valid tuple", "valid list").replace("Tuple should", "List should")
    if item["type"] == "string_pattern_mismatch":
        message += EXAMPLES.get(item["ctx"]["pattern"], "")
    return message + shown


def _unknown_key(location: Location, model: type[BaseModel] | None) -> str:
    suggestion = "" if model is None else hint(str(location[-1]), keys_at(model, location))
    return "unknown key" + (f"; {suggestion}" if suggestion else "")


def _names(location: Location, content: Any) -> Iterator[str]:
    """The ``name`` of each list entry on the way to ``location``; tags of unions are skipped."""
    for part in location:
        if isinstance(part, int):
            content = content[part] if isinstance(content, list) and part < len(content) else None
            name = content.get("name") if isinstance(content, dict) else None
            if isinstance(name, str):
                yield name
        elif isinstance(content, dict):
            content = content.get(part)
