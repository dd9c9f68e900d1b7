"""What llguidance says of a grammar that it cannot keep to, in words for whoever sent it."""

from __future__ import annotations

import re

from deployments.engine.grammar.trial import TOO_COMPLEX

MAX_CHARACTERS = 200

SAYINGS = (
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
"""Beginnings of llguidance's sentences that name its own settings or its parts, and ours."""


def reason(error: str) -> str:
    """The one line of what llguidance says that tells most, short enough for an answer."""
    for pattern, ours in SAYINGS:
        found = re.search(pattern, error)
        if found is not None:
            return short(found.expand(ours))
    lines = [line.strip() for line in error.splitlines() if line.strip()] or ["it is not valid"]
    told = next((line for line in lines if line.startswith("error: ")), lines[0])
    return short(told.removeprefix("error: "))


def short(message: str) -> str:
    """``message`` in one line, and never longer for what was in the grammar."""
    return " ".join(message.split())[:MAX_CHARACTERS]
