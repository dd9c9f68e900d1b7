"""The toy family's deployment: it spells texts backwards. Neither weights nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deployments.models.call_receiver import CallReceiver
from deployments.models.config import FamilyConfig
from deployments.seam.problems import Problem
from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class SpellingRequest:
    model: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spelled:
    """A text or a problem for each text, in order. Characters count as tokens."""

    items: tuple[str | Problem, ...]

    @property
    def token_counts(self) -> TokenCounts:
        characters = sum(len(item) for item in self.items if isinstance(item, str))
        return TokenCounts(characters, characters)


class Spelling(CallReceiver):
    """A deployment. Its models differ in whether they shout."""

    tasks: ClassVar[dict[str, str]] = {"spell": "spells texts backwards"}

    def __init__(self, config: FamilyConfig) -> None:
        self._loud = {model.name: model.name.endswith("loud") for model in config.models}

    async def spell(self, request: SpellingRequest) -> Spelled:
        loud = self._loud[request.model]
        return Spelled(tuple(_spelled(text, loud) for text in request.texts))


def _spelled(text: str, loud: bool) -> str | Problem:
    if not text.isascii():
        return Problem("validation", "only ASCII can be spelled")
    return text[::-1].upper() if loud else text[::-1]
