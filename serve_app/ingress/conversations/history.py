"""A conversation's history: its turns, their limits, and the chat that a model is given."""

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
    """The stored turns, and the ``model`` that the conversation was started with, if named."""

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
    """Limits of a history: the number of turns, their bytes together, their age in seconds."""

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
        """The ids of turns over the bounds, from pairs ``(id, bytes)``. The newest always stays."""
        total = 0
        for place, (_, size) in enumerate(newest_first):
            total += size
            if place > 0 and (place >= self.turns or total > self.size):
                return [each for each, _ in newest_first[place:]]
        return []
