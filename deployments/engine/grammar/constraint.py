"""Grammars that a text has to keep to, token by token: llguidance's matchers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, cachedmethod
from llguidance import LLMatcher, LLTokenizer, regex_to_lark

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.json_schema import dumped, prepared
from deployments.engine.grammar.rejections import reason, short
from deployments.engine.grammar.schema_numbers import Unkeepable
from deployments.engine.grammar.trial import PART, limits
from deployments.seam.generation import Grammar

MOST_BYTES = 32 * 1024
"""Of a grammar's source: the longest literal costs some milliseconds a step for each 10 KiB."""

COMPILED = 16
"""Compiled grammars that are cached: kilobytes each, some megabytes for the worst that can be kept
to."""

_JSON_STYLE: Any = {
    "lenient": False,
    "json_allowed_escapes": 'nrbtf\\"',
    "whitespace_pattern": None,
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""White space as ``json.dumps`` writes it. Left free, small models never stop writing some. And no
``\\u``: a free key could spell a declared one with it, and have another value."""

ANY_OBJECT = '{"type": "object"}'


class ConstraintError(ValueError):
    """The grammar cannot be kept to; the message is for the client.

    ``part`` is the alternative at fault, where it has several.
    """

    def __init__(self, message: str, part: int | None = None) -> None:
        super().__init__(message)
        self.part = part


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


class GrammarCompiler:
    """Compiles grammars for one model. Thread-safe; its tokenizer is built at the first one."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._kept: LRUCache[Grammar, Constraint] = LRUCache(COMPILED)
        self._changed = threading.Condition()

    def cached(self, grammar: Grammar) -> Constraint | None:
        """The constraint at the beginning of a text, where it is at hand. Returns at once."""
        with self._changed:
            return self._kept.get(grammar)

    @cachedmethod(
        lambda self: self._kept,
        key=lambda self, grammar: grammar,
        condition=lambda self: self._changed,
    )
    def compile(self, grammar: Grammar) -> Constraint:
        """A constraint at the beginning of a text, for :meth:`cached` from then on.

        Takes milliseconds for most grammars that stood their trial (see
        :class:`.GrammarTrials`), and has no bound for others; who
        asks meanwhile for the same waits for it. Raises :class:`ConstraintError` for one that is
        not valid.
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
    """``grammar`` as llguidance writes it. Takes some milliseconds for the largest.

    Raises :class:`ConstraintError` when it is too large, or cannot be kept to.
    """
    sources = [grammar.source, *(each.source for each in grammar.alternatives)]
    if sum(len(source.encode()) for source in sources) > MOST_BYTES:
        raise ConstraintError(f"it is larger than {MOST_BYTES} bytes")
    bare = not (grammar.before or grammar.after)
    return _plain(grammar) if bare and grammar.kind != "alternatives" else _lark(grammar)


def tried(grammar: Grammar) -> str:
    """What a trial of ``grammar`` reads: its notation, and of alternatives each one's alone."""
    if len(grammar.alternatives) < 2:
        return notation(grammar)
    alone = [replace(grammar, alternatives=(each,)) for each in grammar.alternatives]
    return PART.join(map(notation, [grammar, *alone]))


def _plain(grammar: Grammar) -> str:
    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.source)
    schema, style = _schema(grammar.source if grammar.kind == "json_schema" else ANY_OBJECT)
    try:
        return LLMatcher.grammar_from_json_schema(dumped(schema), overrides=style)
    except ValueError as error:  # among others, its parser bounds nesting
        raise ConstraintError(reason(str(error))) from None


def _lark(grammar: Grammar) -> str:
    """llguidance's own notation, for a grammar between two literals."""
    before, after = json.dumps(grammar.before), json.dumps(grammar.after)
    start = f"start: {before} body {after}"
    if grammar.triggered:
        mark = grammar.before.rstrip()  # the white space behind it is no choice of the text's
        space = json.dumps(grammar.before.removeprefix(mark))
        start = f"start: part* TEXT\npart: opening {space} body {after}"
        start += f"\nopening[lazy]: TEXT {json.dumps(mark)}\nTEXT: /(.|\\n)*/"
    return f"{start}\n{_body(grammar)}"


def _body(grammar: Grammar) -> str:
    match grammar.kind:
        case "regex":
            expression = regex_to_lark(grammar.source).replace(PART, r"\x00")
            return f"body: BODY\nBODY: /{expression}/"
        case "alternatives":
            return "\n".join(_alternatives(grammar))
        case "json_schema":
            return f"body: {_json(grammar.source)}"
        case "json":
            return f"body: {_json(ANY_OBJECT)}"


def _alternatives(grammar: Grammar) -> Iterator[str]:
    """Each schema is a document of its own: its references mean what they mean by themselves."""
    yield "body: " + " | ".join(f"part_{i}" for i in range(len(grammar.alternatives)))
    for index, each in enumerate(grammar.alternatives):
        try:
            yield f"part_{index}: {json.dumps(each.before)} {_json(each.source)}"
        except ConstraintError as error:
            raise ConstraintError(str(error), part=index) from None


def _json(source: str) -> str:
    schema, style = _schema(source)
    return f"%json {dumped({**schema, 'x-guidance': style})}"


def _schema(source: str) -> tuple[dict[str, Any], Any]:
    """A schema that llguidance keeps to, and how it is to write and to read it."""
    try:
        made = prepared(source)
    except Unkeepable as error:
        raise ConstraintError(short(str(error))) from None
    return made.schema, {**_JSON_STYLE, "coerce_one_of": made.one_of_is_any_of}
