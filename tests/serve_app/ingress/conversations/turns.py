"""What is said in a conversation, and what was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from serve_app.ingress.conversations import Conversations, Turn

Rows = Callable[[str], Awaitable[Any]]

ADA = ("key", "ada")
NUMBERS = [Turn(f"message {number}", f"answer {number}") for number in range(5)]


async def say(conversations: Conversations, turn: Turn, of: tuple[str, str] = ADA) -> None:
    await (await conversations.lease(*of)).add(turn)


async def said(conversations: Conversations, of: tuple[str, str] = ADA) -> list[Turn]:
    return list((await conversations.read(*of)).turns)
