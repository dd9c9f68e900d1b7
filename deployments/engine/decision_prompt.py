"""The prompt of a question, which is transformers' own (its ``decision/template_utils.py``).

Copyright 2026 The HuggingFace Team, Apache License 2.0. It is a copy because that module imports
torch; a test compares the two.
"""

# ruff: noqa: E501 - the template is to the letter
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

DECISION_PROMPT = """
{%- macro text(x) %}{{ "" if x is none else x if x is string else x|tojson }}{% endmacro -%}
{%- set ns = namespace(lines=[text(question.instructions)]) -%}
{%- for option in question.options -%}
    {%- set label, answer = question.labels[loop.index0], text(question.descriptions[loop.index0]) -%}
    {%- if question.type == "noul" -%}
        {%- set answer = answer or (option if question.labels != ["Yes", "No"] else "") -%}
        {%- set ns.lines = ns.lines + ([label ~ ": " ~ answer] if answer else []) -%}
    {%- else -%}
        {%- set answer = (option ~ ": " ~ answer if answer else option) if question.type == "choice" else answer -%}
        {%- set ns.lines = ns.lines + [label ~ ". " ~ answer] -%}
    {%- endif -%}
{%- endfor -%}
{{- text(state) ~ "\\n\\n" ~ ns.lines|select|join("\\n") ~ "\\n" -}}
{%- if question.type == "noul" -%}
    {{- "Answer " ~ question.labels[0] ~ " or " ~ question.labels[1] ~ " only." -}}
{%- else -%}
    {%- set kind = "letter" if question.labels == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: question.labels|length]|list else "label" -%}
    {{- "Answer with the " ~ kind ~ " of the " ~ ("option" if question.type == "choice" else "level") -}}
    {{- " that fits best (" ~ question.labels[0] ~ " to " ~ question.labels[-1] ~ ") only." -}}
{%- endif -%}
"""


def question_text(state: Any, question: Mapping[str, Any]) -> str:
    """The text of a question about a state, both JSON values, as a user's message."""
    rendered: Any = render_jinja_template(
        conversations=[[]], chat_template=DECISION_PROMPT, state=state, question=question
    )
    return str(rendered[0][0])
