"""Images of a tool's answer, as MCP's own content: hosts show it, and text would fill a context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_types import ImageContent

from serve_app.ingress.documentation.rules import Schema
from serve_app.ingress.routes.generated_images import PNG

PLACE: Schema = {
    "type": "object",
    "description": "where the image is",
    "properties": {
        "content": {"type": "integer", "description": "index in the result's `content`"}
    },
    "required": ["content"],
}


def moved_to_content(
    answer: Mapping[str, Any], field: str
) -> tuple[dict[str, Any], list[ImageContent]]:
    """The answer with a place for each file of its list ``field``, and the files as content.

    With ``field.key`` each entry of the list has its file under ``key``. The files come behind the
    text, which is the first content. Errors in the list stay where they are.
    """
    field, _, key = field.partition(".")
    entries, images = list[Any](), list[ImageContent]()
    for entry in answer[field]:
        file = entry.get(key) if key and isinstance(entry, dict) else entry
        if isinstance(file, str):
            images.append(ImageContent(data=file, mime_type=PNG))
            place = {"content": len(images)}
            entries.append({**entry, key: place} if key else place)
        else:
            entries.append(entry)
    return {**answer, field: entries}, images


def with_places(schema: Schema, field: str) -> Schema:
    """The schema of an answer whose files were moved from the list ``field``."""
    field, _, key = field.partition(".")
    listed = schema["properties"][field]
    if key:
        entry = _resolved(listed["items"], schema)
        entry = {**entry, "properties": {**entry["properties"], key: PLACE}}
        return {
            **schema,
            "properties": {**schema["properties"], field: {**listed, "items": entry}},
        }
    items = listed["items"]
    branches = [
        PLACE if branch.get("type") == "string" else branch
        for branch in items.get("anyOf", [items])
    ]
    moved = {**listed, "items": {"anyOf": branches}}
    return {**schema, "properties": {**schema["properties"], field: moved}}


def _resolved(schema: Schema, root: Schema) -> Schema:
    """A schema in place of a reference to a definition of ``root``."""
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    return root["$defs"][name] if name else schema
