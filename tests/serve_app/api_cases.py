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
        r"is not an image, or its header is damaged|is no audio file that is read here",
        r"is not base64\.|, which is not read here\.|(?:audio|file|image|inputs|url) is empty\.",
        r"nothing but invisible characters|the text is empty",
        r"The value must be (?:a JSON schema|an expression)\.|cannot be held to it",
        r"guided_\w+ exclude each other\.|structured_outputs\.\w+ exclude each other\.",
        r"vectors have \d+ (?:and \d+ )?dimensions",
        r"cursor is not the next_cursor of a page\.",
        r"n_clusters is \d+, but there are \d+ texts\.",
        r"the image would have \d+ (?:x \d+ )?pixels",
        r"only an? \w+'s message has \w+|content is required, but for an assistant's message",
        r"The last message has to be a user's|input has only reasoning items",
        r"no message before it has a call|a tool's message has a tool_call_id",
        r"tool_choice needs the function among the tools\.",
        r"has a whole number of more than 64 bits\.",
        r'"id: expected a string"',
        r"steps\.\d+\.inputs\b|steps\.\d+\.model_name: The model|there is no step",
        r"steps\.\d+\.id: step \d+ has the id",
        r"\b\d+ tokens\b|mask tokens; expected one|min_tokens is \d+, but max_\w+ is \d+\.",
        r"\b[Tt]he model (?:cannot|can|finds|has|knows|makes|reads|takes|translates|writes) ",
        r"cannot be honoured by \S+ \(engine|reads no images\.|does not do any of these tasks\.",
        r"is damaged or cut short|the audio has |cannot be read as text|not one token each",
        r"is in the profile, and an order cannot change it\.|has to have either hub or folder\.",
        r"text_1 has to be one text, or as many texts as text_2\.",
        r"must be 1 in a stream|best_of needs sampling|response_format must be verbose_json",
        r"No model is configured for \w+\.|the prompt has no tokens",
        r"tool_choice: name is given with type tool, and only then",
    )
)
"""What a 400 says to a body that fits the document, for reasons that no JSON Schema states there:
whether bytes are an image, what a grammar needs, how parts of a body belong together, what a model
can and has room for, which tasks have a model, which models an order may change, and that the ids
of JSON-RPC are not written as 3.0. Each is the words of one message, because a single word such as
`tokens` is also in the name of a field, whose every fault would pass.
"""

BY_TASK = re.compile(r"POST /models/\{model_id\}(?:/pipeline/\{task\})?")
WRONG_FIELD = re.compile(
    r"this field is (?:required|not known here)|inputs: expected a string|takes application/json\."
)
"""These routes take the body of any task, and the model says which."""


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
            if not (
                isinstance(each, RejectedPositiveData) and is_beyond(case.operation.label, told)
            )
        ]
    return []


def is_beyond(label: str, told: str) -> bool:
    """Whether an operation refused what fits its schemas for a reason that these cannot state."""
    if BY_TASK.fullmatch(label) and WRONG_FIELD.search(told):
        return True
    return any(each.search(told) for each in BEYOND_SCHEMAS)
