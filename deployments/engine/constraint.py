"""Grammars that a text has to keep to, token by token: llguidance's matchers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, cachedmethod
from llguidance import LLMatcher, LLTokenizer, regex_to_lark

from deployments.engine.codec import TextCodec
from deployments.engine.grammar_trial import limits
from deployments.seam import Grammar

MOST_BYTES = 32 * 1024
"""Of a grammar's source: the longest literal costs some milliseconds a step for each 10 KiB."""

COMPILED = 16
"""Grammars that are kept as they are: kilobytes each, some megabytes for the worst that can be kept
to."""

_JSON_STYLE: Any = {
    "lenient": False,
    "coerce_one_of": False,
    "whitespace_pattern": None,
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""White space as ``json.dumps`` writes it. Left free, small models never stop writing some."""


class ConstraintError(ValueError):
    """The grammar cannot be kept to; the message is for the client."""


class Constraint:
    """What one text may still become. Not thread-safe; every sequence has a copy of its own.

    ``forget`` is called when the grammar turns out to be too complex for a text.
    """

    def __init__(
        self,
        grammar: Grammar,
        matcher: LLMatcher,
        eos_ids: frozenset[int],
        forget: Callable[[], None],
    ) -> None:
        self.grammar = grammar
        self._matcher = matcher
        self._eos_ids = eos_ids
        self._forget = forget

    def fresh(self) -> Constraint:
        """The same constraint at the beginning of another text."""
        matcher = self._matcher.deep_copy()
        matcher.reset()
        return Constraint(self.grammar, matcher, self._eos_ids, self._forget)

    def allowed(self, vocabulary: int) -> npt.NDArray[np.bool_]:
        """Which of ``vocabulary`` tokens may come next; ends of sequence where the text may end.

        Raises :class:`ConstraintError` when the grammar turned out to be too complex.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        mask = np.zeros(vocabulary, np.bool_)
        known = np.unpackbits(bits, bitorder="little", count=min(vocabulary, bits.size * 8))
        mask[: known.size] = known
        return mask

    def take(self, token_id: int) -> bool:
        """Go on behind a token; true when the text is complete and nothing may follow.

        Raises :class:`ConstraintError` when the token cannot stand there.
        """
        if token_id in self._eos_ids:
            return True
        self._matcher.consume_token(token_id)
        self._check()
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            self._forget()
            raise ConstraintError("this text can be held to it no further; it may be too complex")


class Grammars:
    """Compiles grammars for one model. Thread-safe; its tokenizer is built at the first one."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._kept: LRUCache[Grammar, Constraint] = LRUCache(COMPILED)
        self._changed = threading.Condition()

    def known(self, grammar: Grammar) -> Constraint | None:
        """The constraint at the beginning of a text, where it is at hand. Returns at once."""
        with self._changed:
            return self._kept.get(grammar)

    @cachedmethod(
        lambda self: self._kept,
        key=lambda self, grammar: grammar,
        condition=lambda self: self._changed,
    )
    def compile(self, grammar: Grammar) -> Constraint:
        """A constraint at the beginning of a text, for :meth:`known` from then on.

        Takes milliseconds for most grammars that stood their trial (see
        :class:`deployments.engine.trials.Trials`), and has no bound for others; who asks meanwhile
        for the same waits for it. Raises :class:`ConstraintError` for one that is not valid.
        """
        matcher = LLMatcher(self._vocabulary(), notation(grammar), limits=limits(), log_level=0)
        if matcher.is_error():
            raise ConstraintError(reason(matcher.get_error()))
        return Constraint(grammar, matcher, self._codec.eos_ids, partial(self._forget, grammar))

    def _forget(self, grammar: Grammar) -> None:
        """Copies share what their matcher found out, some 150 MB where that became too much."""
        with self._changed:
            self._kept.pop(grammar, None)

    def _vocabulary(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                codec = self._codec
                ends = sorted(codec.eos_ids) or None
                self._tokenizer = LLTokenizer(codec.to_json(), codec.vocab_size, ends)
            return self._tokenizer


def notation(grammar: Grammar) -> str:
    """``grammar`` as llguidance writes it. Takes less than a millisecond.

    Raises :class:`ConstraintError` when it is too large, or is no JSON.
    """
    if len(grammar.source.encode()) > MOST_BYTES:
        raise ConstraintError(f"it is larger than {MOST_BYTES} bytes")
    return _lark(grammar) if grammar.before or grammar.after else _plain(grammar)


def _plain(grammar: Grammar) -> str:
    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.source)
    try:
        return LLMatcher.grammar_from_json_schema(_schema(grammar), overrides=_JSON_STYLE)
    except ValueError as error:  # among others, its parser bounds nesting
        raise ConstraintError(str(error)) from None


def _lark(grammar: Grammar) -> str:
    """llguidance's own notation, for a grammar between two literals."""
    before, after = json.dumps(grammar.before), json.dumps(grammar.after)
    start = f"start: {before} body {after}"
    if grammar.triggered:
        mark = grammar.before.rstrip()  # the white space behind it is no choice of the text's
        space = json.dumps(grammar.before.removeprefix(mark))
        start = f"start: part* TEXT\npart: opening {space} body {after}"
        start += f"\nopening[lazy]: TEXT {json.dumps(mark)}\nTEXT: /(.|\\n)*/"
    if grammar.kind == "regex":
        return f"{start}\nbody: BODY\nBODY: /{regex_to_lark(grammar.source)}/"
    try:
        schema = json.loads(_schema(grammar))
    except (ValueError, RecursionError) as error:
        raise ConstraintError(str(error)) from None
    styled = {**schema, "x-guidance": _JSON_STYLE}
    return f"{start}\nbody: %json {json.dumps(styled)}"


def _schema(grammar: Grammar) -> str:
    return grammar.source if grammar.kind == "json_schema" else '{"type": "object"}'


def reason(error: str) -> str:
    """The one line of what llguidance says that tells most, short enough for an answer."""
    lines = [line.strip() for line in error.splitlines() if line.strip()] or ["it is not valid"]
    told = next((line for line in lines if line.startswith("error: ")), lines[0])
    return told.removeprefix("error: ")[:200]
