"""The bodies and answers of the routes of conversations, and the cursor of their pages."""

from __future__ import annotations

import base64
from typing import Annotated, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
)

from deployments.seam.generation import FinishReason
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.validation.fields import Answer, Body, ModelName, Text, example

PLAIN = r"[^\x00-\x1f\x7f-\x9f]{1,256}"
UserId: TypeAlias = Annotated[str, StringConstraints(max_length=256, pattern=f"^{PLAIN}$")]
"""1 to 256 characters, no control characters among them."""

CURSOR = "after:"
CURSOR_PATTERN = "^YWZ0ZXI6[A-Za-z0-9_-]+={0,2}$"
"""``CURSOR`` and a user in base64."""
AFTER = TypeAdapter(Annotated[str, StringConstraints(pattern=rf"^{CURSOR}{PLAIN}$")])


def _addressable(user_id: str) -> str:
    """``user_id``, unless a part of it is one that clients remove from URLs (RFC 3986, 5.2.4)."""
    if not {".", ".."}.isdisjoint(user_id.split("/")):
        raise ValueError("a part of it between slashes is . or .., which gets lost in URLs")
    return user_id


ConversationUser: TypeAlias = Annotated[
    UserId,
    AfterValidator(_addressable),
    Field(json_schema_extra={"not": {"pattern": r"(^|/)\.\.?(/|$)"}}),
]
"""The id of a user who has a conversation, which is part of its URL."""


class BeginBody(Body):
    """A new conversation, which takes the place of the user's earlier one."""

    model_config = example(user_id="ada", initial_message="My name is Ada. Who are you?")

    user_id: ConversationUser
    initial_message: Text | None = None
    model_name: ModelName | None = Field(None, description="also of the messages that follow")


class MessageBody(Body):
    model_config = example(message="What is my name?")

    message: Text
    model_name: ModelName | None = Field(None, description="of this message alone")
    stream: bool = False


class Page(BaseModel):
    """Which part of a list; its cursor says where it begins, and is opaque to clients."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000)
    cursor: str | None = Field(
        None,
        description="the next_cursor of the page before",
        json_schema_extra={"pattern": CURSOR_PATTERN},
    )

    @property
    def after(self) -> str:
        """The user that the page follows. Raises :class:`ValidationFailed`."""
        if self.cursor is None:
            return ""
        try:
            read = base64.b64decode(self.cursor, altchars=b"-_", validate=True).decode()
            return AFTER.validate_python(read).removeprefix(CURSOR)
        except ValueError:  # of base64, of UTF-8 or of pydantic
            message = "cursor is not the next_cursor of a page."
            raise ValidationFailed(message, field="cursor") from None


class Begun(Answer):
    """The greeting, which is not part of the history, or the first answer with its usage."""

    user_id: str
    response: str
    finish_reason: FinishReason | None = None
    usage: dict[str, int] | None = None


class ConversationAnswer(Answer):
    user_id: str
    response: str
    finish_reason: FinishReason
    usage: dict[str, int]


class HistoryTurn(BaseModel):
    user: str
    assistant: str


class History(BaseModel):
    user_id: str
    history: list[HistoryTurn]
    request_id: str
    execution_time: float


class Users(BaseModel):
    user_ids: list[str]
    next_cursor: str | None
    request_id: str
    execution_time: float


def cursor_after(user_id: str) -> str:
    return base64.urlsafe_b64encode(f"{CURSOR}{user_id}".encode()).decode()
