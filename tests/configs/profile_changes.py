"""Changes to a sound profile, and the rules that it breaks then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from configs.profile import Profile, load_settings
from configs.rules import broken_rules

Change = Callable[[dict[str, Any]], None]


def broken(content: dict[str, Any]) -> list[str]:
    profile = Profile.model_validate(content)
    return broken_rules(profile, load_settings(profile))


def family(content: dict[str, Any], index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = content["families"][index]
    return found


def model(content: dict[str, Any], index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = family(content, index)["models"][0]
    return found


def options(index: int = 0, **given: Any) -> Change:
    return lambda content: family(content, index).update(options=given)


def model_with(index: int = 0, **given: Any) -> Change:
    return lambda content: model(content, index).update(given)
