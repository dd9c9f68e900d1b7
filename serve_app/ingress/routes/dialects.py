"""The error dialects of all APIs, in the order in which a path is tried against them."""

from __future__ import annotations

from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.routes.errors import NATIVE_ERRORS
from serve_app.ingress.routes.huggingface.errors import HUB_ERRORS
from serve_app.ingress.routes.openai.errors import OPENAI_ERRORS


def error_answers() -> ErrorAnswers:
    """OpenAI's before the Hub's, since some of its paths are below ``/models`` too."""
    return ErrorAnswers((OPENAI_ERRORS, HUB_ERRORS, NATIVE_ERRORS))
