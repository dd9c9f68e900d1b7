"""The error dialects of all APIs, in the order in which a path is tried against them."""

from __future__ import annotations

from serve_app.ingress.error_answers import ErrorAnswers
from serve_app.ingress.routes.anthropic.errors import ANTHROPIC_ERRORS
from serve_app.ingress.routes.cohere.errors import COHERE_ERRORS
from serve_app.ingress.routes.errors import NATIVE_ERRORS
from serve_app.ingress.routes.huggingface.errors import HUB_ERRORS
from serve_app.ingress.routes.mcp.errors import MCP_ERRORS
from serve_app.ingress.routes.openai.errors import OPENAI_ERRORS
from serve_app.ingress.routes.tei.errors import TEI_ERRORS


def error_answers() -> ErrorAnswers:
    """Those with fewer paths first: OpenAI has some below ``/models``, others below ``/v1``."""
    return ErrorAnswers(
        (
            MCP_ERRORS,
            COHERE_ERRORS,
            ANTHROPIC_ERRORS,
            OPENAI_ERRORS,
            TEI_ERRORS,
            HUB_ERRORS,
            NATIVE_ERRORS,
        )
    )
