"""What is wrong with a configuration, in words that name file, key and expectation."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from configs.words import hint, keys_at


class ConfigError(Exception):
    """A configuration that cannot be served. ``str`` of it is a printable, complete message."""

    def __init__(self, origin: str, problems: list[str]) -> None:
        self.origin = origin
        self.problems = problems
        super().__init__(origin, problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.origin}: {problem}" for problem in self.problems)


def explain(
    error: ValidationError, prefix: str = "", model: type[BaseModel] | None = None
) -> list[str]:
    """One line a problem: ``key.path: what was expected (got what was found)``.

    With the ``model`` that refused, a key that it does not know comes with the one that was meant.
    """
    lines = []
    found_in = error.errors(include_url=False)
    for item in found_in:
        # A list of one whose only item is wrong counts as empty, too: that is not what is wrong.
        within = len(item["loc"])
        if item["type"] == "too_short" and any(
            each["loc"][:within] == item["loc"] for each in found_in if len(each["loc"]) > within
        ):
            continue
        path = ".".join(str(part) for part in item["loc"])
        where = ".".join(part for part in (prefix, path) if part) or "(whole file)"
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: {_unknown(item['loc'], model)}")
            continue
        found = item["input"]
        plain = isinstance(found, str | int | float | bool | None)
        secret = path.lower().endswith(("token", "_url"))
        shown = f" (got {found!r})" if plain and not secret else ""
        message = " ".join(item["msg"].removeprefix("Value error, ").split())
        lines.append(f"{where}: {message}{shown}")
    return lines


def _unknown(location: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    meant = "" if model is None else hint(str(location[-1]), keys_at(model, location))
    return "unknown key" + (f"; {meant}" if meant else "")
