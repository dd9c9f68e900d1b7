"""The OpenAPI document: readable names, whole in itself, with true examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from tests.serve_app.ingress.documentation.documented import document, matches, operations


def schemas(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for name, each in part.items():
            if name != "example":
                yield from schemas(each)
    elif isinstance(part, list):
        for each in part:
            yield from schemas(each)


def test_names_are_short_and_say_nothing_of_modules() -> None:
    names = document()["components"]["schemas"]
    assert len(names) > 50
    for name in names:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]{1,40}", name), name
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids)) > 40
    for name in ids:
        assert re.fullmatch(r"[a-z][a-z0-9_]{2,40}", name), name


def test_the_document_stands_by_itself() -> None:
    assert document()["servers"] == [{"url": "/"}]
    known = document()["components"]["schemas"]
    for part in schemas(document()):
        assert "$defs" not in part
        if isinstance(part.get("$ref"), str):
            assert part["$ref"].removeprefix("#/components/schemas/") in known
    for schema in known.values():
        Draft202012Validator.check_schema(schema)


def test_every_answer_is_described() -> None:
    for path, method, operation in operations():
        answer = operation["responses"].get("200")
        if answer is None:
            assert "204" in operation["responses"], (method, path)
            continue
        assert answer["content"], (method, path)
        for kind, content in answer["content"].items():
            assert content.get("schema") or kind == "text/plain", (method, path, kind)
            if kind == "text/event-stream":
                assert len(content["itemSchema"]["anyOf"]) >= 2


def test_examples_are_what_they_exemplify() -> None:
    found = 0
    for path, method, operation in operations():
        if method != "post" or "requestBody" not in operation:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        example = document()["components"]["schemas"].get(name, schema).get("example")
        if example is not None:
            found += 1
            assert matches(schema, example), path
    assert found > 15
