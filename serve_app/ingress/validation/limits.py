"""Checks of a request's fields that depend on settings or on the model, not on the type alone."""

from __future__ import annotations

from configs.blank import is_blank
from configs.settings import Settings
from deployments.seam.problems import Problem, over_window
from serve_app.ingress.errors import ContextLengthExceeded, ValidationFailed
from serve_app.ingress.model_card import ModelCard


def check_prompt(text: str, settings: Settings, field: str) -> None:
    check_prompt_size(len(text.encode()), settings, field)


def check_prompt_size(size: int, settings: Settings, field: str) -> None:
    """``size`` is in bytes."""
    if size > settings.max_prompt_bytes:
        raise ValidationFailed(
            f"{field} has {size} bytes; the limit is {settings.max_prompt_bytes}.", field=field
        )


def check_window(tokens: int | None, card: ModelCard, field: str) -> None:
    if tokens is not None and card.window is not None and tokens > card.window:
        raise ContextLengthExceeded(
            f"{over_window(card.window)}; {field} is {tokens}.", field=field
        )


def check_count(count: int, settings: Settings, field: str) -> None:
    if count > settings.max_texts:
        raise ValidationFailed(
            f"{field} has {count} items; the limit is {settings.max_texts}.", field=field
        )


def text_problem(text: str, settings: Settings) -> Problem | None:
    """Why one text of a list is refused, if it is. The other texts are answered."""
    size = len(text.encode())
    if size > settings.max_prompt_bytes:
        limit = settings.max_prompt_bytes
        return Problem("validation", f"the text has {size} bytes; the limit is {limit}")
    if is_blank(text):
        return Problem("validation", f"the text {_blank(text)}")
    return None


def check_readable(text: str, field: str) -> None:
    """Refuse a blank text."""
    if is_blank(text):
        raise ValidationFailed(f"{field} {_blank(text)}.", field=field)


def _blank(text: str) -> str:
    return "has nothing but invisible characters" if text.strip() else "is empty"
