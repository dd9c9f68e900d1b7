"""Turns llguidance's error messages about a grammar into messages for the client."""

from __future__ import annotations

import re

from deployments.engine.grammar.trial import TOO_COMPLEX

MAX_MESSAGE_CHARACTERS = 200

TRANSLATIONS = (
    (
        r"oneOf constraints are not supported",
        "oneOf is supported where no two alternatives can both match: tell them apart by their "
        "types or by a const of a required property, or use anyOf",
    ),
    (r"Unimplemented keys: \[\"([^\"]*)\"", r"the keyword \1 is not supported"),
    (r"Failed to generate regex for", "a range of numbers is too large or too small to be kept"),
    (
        r"Resource '([^']*)' is not present in a registry",
        r"\1 is not present in the schema, and other documents are not fetched",
    ),
    (
        r"circular references with sibling keys",
        "a $ref that leads back to itself cannot have other keywords beside it",
    ),
    (r"Invalid URI reference", "an $id or a $ref is no valid URI reference"),
    (r"Regex is empty", "Unsatisfiable: no text has that pattern, format and length at once"),
    (r"recursion limit", "it is nested deeper than the recursion limit"),
    (
        r"items; max is|[Tt]oo many (items|expressions)|lexer state|too big|level exceeded|fuel|"
        r"if regex is",
        TOO_COMPLEX,
    ),
)
"""Patterns of messages that name llguidance's settings or internals, and what to say instead."""


def rejection(error: str) -> str:
    """The most specific line of an error message, short enough for an answer."""
    for pattern, message in TRANSLATIONS:
        found = re.search(pattern, error)
        if found is not None:
            return short(found.expand(message))
    lines = [line.strip() for line in error.splitlines() if line.strip()] or ["it is not valid"]
    detail = next((line for line in lines if line.startswith("error: ")), lines[0])
    return short(detail.removeprefix("error: "))


def short(message: str) -> str:
    """``message`` in one line of bounded length, whatever the grammar put into it."""
    return " ".join(message.split())[:MAX_MESSAGE_CHARACTERS]
