"""Structured output: what a compiled grammar allows while one text is decoded.

Does not import llguidance: matchers come from :mod:`.compiler`, so that sequences without a grammar
need neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deployments.seam.generation import Grammar

if TYPE_CHECKING:
    from llguidance import LLMatcher


class ConstraintError(ValueError):
    """A grammar cannot be compiled or followed; the message is for the client.

    ``part`` is the index of the alternative at fault, if the grammar has several.
    """

    def __init__(self, message: str, part: int | None = None) -> None:
        super().__init__(message)
        self.part = part


class Constraint:
    """The state of one text under a grammar. Not thread-safe; every sequence has its own copy.

    ``matcher`` is llguidance's, for filling the masks of many texts at once; :meth:`check` tells
    afterwards if it failed. ``forget`` is called when the grammar turns out to be too complex for a
    text.
    """

    def __init__(
        self,
        grammar: Grammar,
        matcher: LLMatcher,
        eos_ids: frozenset[int],
        forget: Callable[[], None],
    ) -> None:
        self.grammar = grammar
        self.matcher = matcher
        self._eos_ids = eos_ids
        self._forget = forget

    def fresh(self) -> Constraint:
        """A copy that stands at the beginning of a text."""
        matcher = self.matcher.deep_copy()
        matcher.reset()
        return Constraint(self.grammar, matcher, self._eos_ids, self._forget)

    def take(self, token_id: int) -> bool:
        """Add a token to the text; true when it is complete and nothing may follow.

        Raises :class:`ConstraintError` when the token is not allowed.
        """
        if token_id in self._eos_ids:
            return True
        self.matcher.consume_token(token_id)
        self.check()
        return bool(self.matcher.is_stopped())

    def check(self) -> None:
        """Raise :class:`ConstraintError` when the text cannot be held to the grammar further."""
        if self.matcher.is_error():
            self._forget()
            raise ConstraintError("this text can be held to it no further; it may be too complex")
