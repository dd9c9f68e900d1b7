"""``chat_template_kwargs``: variables that a request gives to the model's chat template."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from configs.settings import Settings
from serve_app.ingress.validation.limits import check_prompt

MAX_VARIABLES = 32
OWN = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "conversations",
        "documents",
        "messages",
        "raise_exception",
        "return_assistant_tokens_mask",
        "strftime_now",
        "tools",
    }
)
"""What the service itself gives to a template or to its renderer."""


def _free(name: str) -> str:
    if name in OWN:
        raise ValueError("the service gives this to the template itself")
    return name


Variable = Annotated[
    str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$"), AfterValidator(_free)
]
TemplateVariables = Annotated[dict[Variable, Any], Field(max_length=MAX_VARIABLES)]


def template_variables(given: dict[str, Any] | None, settings: Settings) -> str:
    """The variables as JSON; they are part of the prompt, and bounded like it."""
    if not given:
        return ""
    text = json.dumps(given, ensure_ascii=False)
    check_prompt(text, settings, "chat_template_kwargs")
    return text
