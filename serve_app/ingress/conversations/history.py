"""What a conversation remembers: turns, how many of them, and how a model is shown them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from configs.settings import Settings
from deployments.seam.generation import ChatMessage

DAY_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Turn:
    """A message and its answer."""

    user: str
    assistant: str

    @property
    def size(self) -> int:
        """In bytes of UTF-8."""
        return len(self.user.encode()) + len(self.assistant.encode())


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is kept of one: the ``model`` it was begun with, if one was named, and its turns."""

    turns: tuple[Turn, ...] = ()
    model: str | None = None

    def messages_with(self, message: str) -> tuple[ChatMessage, ...]:
        """The chat that ends with ``message``."""
        pairs = (
            (ChatMessage("user", turn.user), ChatMessage("assistant", turn.assistant))
            for turn in self.turns
        )
        return (*(each for pair in pairs for each in pair), ChatMessage("user", message))


@dataclass(frozen=True, slots=True)
class HistoryBounds:
    """How much of a conversation is kept: turns, their bytes together, their age in seconds."""

    turns: int
    size: int
    age_s: float

    @classmethod
    def of(cls, settings: Settings) -> HistoryBounds:
        return cls(
            turns=settings.conversation_max_turns,
            size=settings.conversation_max_bytes,
            age_s=settings.conversation_max_age_days * DAY_S,
        )

    def surplus(self, newest_first: Sequence[tuple[int, int]]) -> Iterable[int]:
        """The ids of turns that are too many, of ``(id, bytes)``. The newest one always stays."""
        total = 0
        for place, (_, size) in enumerate(newest_first):
            total += size
            if place > 0 and (place >= self.turns or total > self.size):
                return [each for each, _ in newest_first[place:]]
        return []
