"""Validates the options of a deployment against Ray Serve's own schema, and more strictly.

Serve drops keys that it does not know, and accepts some sections as plain mappings, which it
validates only when it deploys. Here unknown keys are refused, and each section is validated by its
own model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from configs.suggestions import Location, hint, models_in

AUTO_MAX_REPLICAS = 100
"""Serve's default of ``max_replicas`` with ``num_replicas: auto``."""

BOTH = (
    "expected one of num_replicas and autoscaling_config: Serve keeps a fixed number of replicas "
    "or scales between two (num_replicas: auto goes with autoscaling_config)"
)


def require(options: Mapping[str, Any]) -> None:
    """Raise ``ValidationError``, with the location of each mistake, if ``options`` are invalid."""
    schema = _deployment_schema()
    unknown = _unknown(schema, options, ())
    problems = [_problem(message, where, given) for where, message, given in unknown]
    if "name" in options:
        problems.append(_problem("the name is the family's", ("name",), options["name"]))
    problems += _sections(schema, _with_auto(options), ())
    if isinstance(options.get("num_replicas"), int) and options.get("autoscaling_config"):
        problems.append(_problem(BOTH, ("num_replicas",), options["num_replicas"]))
    if not problems:
        problems = _problems(schema, {"name": "any", **options}, ())
    if problems:
        raise ValidationError.from_exception_data("Options", problems)


def _with_auto(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """``options`` with Serve's default of ``max_replicas`` if ``num_replicas`` is ``auto``."""
    scaling = options.get("autoscaling_config")
    if options.get("num_replicas") != "auto" or not isinstance(scaling, Mapping):
        return options
    return {**options, "autoscaling_config": {"max_replicas": AUTO_MAX_REPLICAS, **scaling}}


def _deployment_schema() -> type[BaseModel]:
    """Serve's schema, imported when needed since that takes most of a second."""
    with warnings.catch_warnings():  # Serve's models use a deprecated way of pydantic
        warnings.filterwarnings("ignore", "Using extra keyword arguments on `Field`")
        from ray.serve.schema import DeploymentSchema
    schema: type[BaseModel] = DeploymentSchema
    return schema


def unknown_keys(model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key at any depth that Serve's model does not have, with a message about it."""
    for where, message, _ in _unknown(model, given, ()):
        yield ".".join(map(str, where)), message


def _unknown(
    model: type[BaseModel], given: Mapping[str, Any], where: Location
) -> Iterator[tuple[Location, str, Any]]:
    for key, value in given.items():
        if key not in model.model_fields:
            meant = hint(str(key), set(model.model_fields) - {"name"})
            message = f"Serve has no such option; {meant}" if meant else "Serve has no such option"
            yield (*where, key), message, value
        for inner, part, place in _inside(model, key, value, where):
            yield from _unknown(inner, part, place)


def _sections(
    model: type[BaseModel], given: Mapping[str, Any], where: Location
) -> Iterator[InitErrorDetails]:
    """The problems that each section's own model finds."""
    for key, value in given.items():
        for inner, part, place in _inside(model, key, value, where):
            known = {name: each for name, each in part.items() if name in inner.model_fields}
            found = [*_sections(inner, known, place)]
            yield from found or _problems(inner, known, place)


def _inside(
    model: type[BaseModel], key: str, value: Any, where: Location
) -> Iterator[tuple[type[BaseModel], Mapping[str, Any], Location]]:
    """Each mapping at ``key``, alone or in a list, that has a model: model, mapping, location."""
    field = model.model_fields.get(key)
    inner = None if field is None else next(models_in(field.annotation), None)
    if inner is None:
        return
    parts = enumerate(value) if isinstance(value, list) else [(None, value)]
    for index, part in parts:
        if isinstance(part, Mapping):
            yield inner, part, (*where, key) if index is None else (*where, key, index)


def _problems(
    model: type[BaseModel], given: Mapping[str, Any], where: Location
) -> list[InitErrorDetails]:
    try:
        model.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return [_problem(each["msg"], (*where, *each["loc"]), each["input"]) for each in found]
    except (ImportError, AttributeError, NotImplementedError, TypeError) as error:
        # Serve's validators import the classes that are named, which may raise these.
        return [_problem(str(error), where, given)]
    return []


def _problem(message: str, where: Location, given: Any) -> InitErrorDetails:
    shown = message.removeprefix("Value error, ")
    return InitErrorDetails(type=PydanticCustomError("serve_option", shown), loc=where, input=given)
