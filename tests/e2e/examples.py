"""The examples of the documentation of a running graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx


def examples_of(operation: dict[str, Any], schemas: dict[str, Any]) -> list[Any]:
    """The example of a POST's JSON body, of each kind of it if there are several."""
    content = operation["requestBody"]["content"]["application/json"]
    if "example" in content:
        return [content["example"]]
    kinds = content["schema"].get("oneOf", [content["schema"]])
    whole = [schemas[kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind for kind in kinds]
    return [schema["example"] for schema in whole]


def documented_posts(client: httpx.Client) -> Iterator[tuple[str, Any]]:
    """The path of every route that takes a POST, with each example of its body."""
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        if "post" in operations:
            for example in examples_of(operations["post"], document["components"]["schemas"]):
                yield path, example
