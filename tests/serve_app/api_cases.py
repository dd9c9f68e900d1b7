"""Requests that schemathesis makes of the OpenAPI document, and what it says of their answers.

Half of them are made to fit the document, half not to. An answer has to be one that the document
has for the route: its status, media type, headers and body, of streams each event; a request that
does not fit gets a 4xx, and one that fits a success, apart from ``BEYOND_SCHEMAS``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.schemas import BaseSchema

SEED = 7
MODELS = ("model", "model_name", "model_id", "name")
"""Names of a model in a body or a path. Made-up ones would be 404s before anything else."""

BEYOND_SCHEMAS = tuple(
    re.compile(words)
    for words in (
        r"no image|not an image|is not base64|damaged|not read here|no audio file|no audio",
        r"invisible characters",
        r"must be a JSON schema|schema|regular expression",
        r"vectors? ha(s|ve)|zero vector",
        r"next_cursor",
        r"more clusters than texts|clusters",
        r"pixels",
        r"only a[n]? \w+'s message|messages?\b.*(last|first|follow|before|role)",
        r"tool",
        r"64 bits",
        r"id: expected a string",
        r"steps\.\d+",
        r"no room|window|tokens",
        r"is in the profile|either hub or folder",
    )
)
"""What a 400 says to a body that fits the document, for reasons that no JSON Schema can state:
whether bytes are an image, what a grammar needs, how parts of a body belong together, what a model
has room for, which models an order may change, and that the ids of JSON-RPC are not written as 3.0.
"""


@dataclass
class Tried:
    """What was tried: how many requests, with which statuses, and what was wrong."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def tried(
    schema: BaseSchema,
    per_operation: int,
    call: Callable[[Case[Any]], Response],
    models: Callable[[str], str],
    skipped: frozenset[str] = frozenset(),
) -> Tried:
    """Call every operation ``per_operation`` times with what fits, and as often with what does not.

    ``models`` gives the name of the model that a path's operation is called with. ``skipped`` are
    labels of operations.
    """
    result = Tried()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), f"an operation cannot be read: {found}"
        operation = found.ok()
        if operation.label in skipped:
            continue
        result.operations.add(operation.label)
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                continue  # there is nothing that could be wrong with it
            strategy = operation.as_strategy(generation_mode=mode)
            with_model = models(operation.path) if mode is GenerationMode.POSITIVE else None
            _try(strategy, per_operation, call, with_model, result)
    return result


def _try(
    strategy: SearchStrategy[Case[Any]],
    count: int,
    call: Callable[[Case[Any]], Response],
    model: str | None,
    result: Tried,
) -> None:
    """Add up to ``count`` requests to ``result``, three quarters of which name ``model``."""

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def run(case: Case[Any]) -> None:
        result.requests += 1
        if model is not None and result.requests % 4:
            _name_model(case, model)
        response = call(case)
        result.statuses[int(response.status_code)] += 1
        result.faults += _faults(case, response)

    run()


def _name_model(case: Case[Any], model: str) -> None:
    parameters: dict[str, Any] = case.path_parameters or {}
    for part in (parameters, case.body):
        if isinstance(part, dict):
            part.update((name, model) for name in MODELS if part.get(name))


def _faults(case: Case[Any], response: Response) -> list[str]:
    try:
        case.validate_response(response)
    except (Failure, FailureGroup) as error:
        failures = error.exceptions if isinstance(error, FailureGroup) else [error]
        told = response.text
        return [
            f"{case.operation.label}: {each}\n  sent {str(case.body)[:300]}\n  got {told[:300]}"
            for each in failures
            if not (isinstance(each, RejectedPositiveData) and _is_beyond(response))
        ]
    return []


def _is_beyond(response: Response) -> bool:
    told = response.text
    return any(each.search(told) for each in BEYOND_SCHEMAS)
