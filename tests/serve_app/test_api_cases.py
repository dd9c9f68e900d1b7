"""300 requests made of the OpenAPI document. ``tests/long/test_schemathesis.py`` sends more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import Case
from schemathesis.core.transport import Response

from tests.serve_app.api_cases import is_beyond, tried
from tests.serve_app.every_task import MODEL, EveryTask, application

MIN_CASES = 300


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_answers_are_as_the_document_says(tmp_path: Path) -> None:
    app = application(EveryTask(), hf_cache_dir=str(tmp_path))
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app

    def call(case: Case[Any]) -> Response:
        return case.call()

    done = tried(schema, 3, call, lambda _: MODEL)
    asyncio.run(app.state.conversations.close())
    assert done.faults == []
    assert done.requests >= MIN_CASES
    assert done.statuses[200] > MIN_CASES // 5, "most of what fits is answered"


@pytest.mark.parametrize(
    "told",
    [
        "max_tokens: expected a whole number",
        "tools.0.function.name: this field is required",
        "response_format.json_schema.schema: expected an object",
        "steps.0.task: expected one of the tasks",
        "messages.0.role: this field is required",
        "image: this field is required",
        "n_clusters: expected at most 100",
    ],
)
def test_no_other_refusal_of_what_fits_is_excused(told: str) -> None:
    assert not is_beyond("POST /v1/chat/completions", told)
