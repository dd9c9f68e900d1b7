"""Imports objects by the paths of a profile (``package.module:name``), with readable errors."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

from configs.suggestions import closest


class ImportPathError(Exception):
    """The path leads nowhere; the message is one line that says why, and what was meant."""


def imported(path: str) -> Any:
    """The object at ``package.module:name``. Raises :class:`ImportPathError`."""
    module_name, _, name = path.partition(":")
    module = _module(module_name)
    if hasattr(module, name):
        return getattr(module, name)
    raise ImportPathError(f"{module_name} has no {name}{_meant(name, public_names(module))}")


def public_names(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise ImportPathError(f"{name} needs {missing}, which is not installed") from None
        raise ImportPathError(f"there is no module {missing}{_sibling(missing)}") from None
    except Exception as error:  # noqa: BLE001  the imported module may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ImportPathError(f"{name} cannot be imported: {reason}") from None


def _sibling(missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    path = import_module(parent).__path__ if parent and _is_package(parent) else None
    if parent and path is None:
        return f", since {parent} is no package"
    meant = closest(last, [each.name for each in pkgutil.iter_modules(path)])
    return f"; did you mean {f'{parent}.{meant}'.removeprefix('.')}?" if meant else ""


def _is_package(name: str) -> bool:
    return hasattr(import_module(name), "__path__")


def _meant(name: str, known: Iterable[str]) -> str:
    meant = closest(name, known)
    return f"; did you mean {meant}?" if meant else ""
