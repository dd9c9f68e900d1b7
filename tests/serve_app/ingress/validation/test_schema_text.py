"""Schemas to the last digit: what a body's own parser would have made another number of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.validation.schema_text import MAX_BODY, SchemaText

PLACE = ("format", 0, "schema")


def of(schema: str, *, filled: int = 0) -> str:
    body = f'{{"x": "{"y" * filled}", "format": [{{"schema": {schema}}}]}}'
    parsed: dict[str, Any] = json.loads(schema)
    return SchemaText(body.encode()).of(parsed, ("elsewhere",), PLACE)


@pytest.mark.parametrize(
    "schema",
    [
        "{}",
        '{"const":1376946241435750401}',
        '{"const":0.1234567890123456789}',
        '{"enum":[1e400,-1E-400,2.50,null,true,"1.5",{"é\\"\\n":[1.0]}]}',
        '{"1.5":{"$ref":"#/1.5"}}',
    ],
)
def test_a_schema_is_as_it_was_written(schema: str) -> None:
    assert of(schema) == schema


def test_a_schema_that_is_not_there_is_taken_as_it_was_parsed() -> None:
    assert SchemaText(b"{}").of({"const": 0.5}, PLACE) == '{"const":0.5}'


def test_a_large_body_is_not_parsed_again() -> None:
    assert of('{"const":1}', filled=MAX_BODY) == '{"const":1}'
    with pytest.raises(ValidationFailed, match="fractions") as caught:
        of('{"const":1.5}', filled=MAX_BODY)
    assert caught.value.field == "elsewhere"
