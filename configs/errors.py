"""What is wrong with a configuration, in words that name file, key and expectation."""

from __future__ import annotations

from pydantic import ValidationError


class ConfigError(Exception):
    """A configuration that cannot be served. ``str`` of it is a printable, complete message."""

    def __init__(self, origin: str, problems: list[str]) -> None:
        self.origin = origin
        self.problems = problems
        super().__init__(origin, problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.origin}: {problem}" for problem in self.problems)


def explain(error: ValidationError, prefix: str = "") -> list[str]:
    """One line a problem: ``key.path: what was expected (got what was found)``."""
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
        found = item["input"]
        plain = isinstance(found, str | int | float | bool | None)
        secret = path.lower().endswith(("token", "_url"))
        shown = f" (got {found!r})" if plain and not secret else ""
        lines.append(f"{where}: {item['msg']}{shown}")
    return lines
