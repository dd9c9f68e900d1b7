"""Compiles grammars with llguidance, and caches them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from cachetools import LRUCache, cachedmethod
from llguidance import LLMatcher, LLTokenizer, regex_to_lark

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.constraint import Constraint, ConstraintError
from deployments.engine.grammar.json_schema import dump_schema, prepare_schema
from deployments.engine.grammar.rejections import rejection, short
from deployments.engine.grammar.schema_numbers import UnsupportedSchema
from deployments.engine.grammar.trial import SEPARATOR, limits
from deployments.engine.tuning import CACHED_GRAMMARS, MAX_GRAMMAR_BYTES
from deployments.seam.generation import Grammar

_JSON_STYLE: Any = {
    "lenient": False,
    "json_allowed_escapes": 'nrbtf\\"',
    "whitespace_pattern": None,
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""White space as ``json.dumps`` writes it: if it is free, small models never stop writing some. No
``\\u``: an additional key could spell a declared one with it, and have another value."""

ANY_OBJECT = '{"type": "object"}'


class GrammarCompiler:
    """Compiles grammars for one model, and caches them. Thread-safe.

    llguidance's tokenizer is built at the first grammar, since many models never see one.
    """

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._cache: LRUCache[Grammar, Constraint] = LRUCache(CACHED_GRAMMARS)
        self._changed = threading.Condition()

    def cached(self, grammar: Grammar) -> Constraint | None:
        """The constraint at the beginning of a text, if it is cached. Returns at once."""
        with self._changed:
            return self._cache.get(grammar)

    @cachedmethod(
        lambda self: self._cache,
        key=lambda self, grammar: grammar,
        condition=lambda self: self._changed,
    )
    def compile(self, grammar: Grammar) -> Constraint:
        """A constraint at the beginning of a text, cached from then on.

        Takes milliseconds for grammars that passed their trial (see :class:`.GrammarTrials`), and
        may take for ever for others. Calls for the same grammar wait for each other. Raises
        :class:`ConstraintError` for a grammar that is not valid.
        """
        source = llguidance_source(grammar)
        matcher = LLMatcher(self._vocabulary(), source, limits=limits(), log_level=0)
        if matcher.is_error():
            raise ConstraintError(rejection(matcher.get_error()))
        return Constraint(grammar, matcher, self._codec.eos_ids, partial(self._forget, grammar))

    def _forget(self, grammar: Grammar) -> None:
        """Drop a grammar from the cache: the copies of its matcher share their lexer states, some
        150 MB when it became too complex."""
        with self._changed:
            self._cache.pop(grammar, None)

    def _vocabulary(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                codec = self._codec
                ends = sorted(codec.eos_ids) or None
                self._tokenizer = LLTokenizer(codec.to_json(), codec.vocab_size, ends)
            return self._tokenizer


def llguidance_source(grammar: Grammar) -> str:
    """``grammar`` in llguidance's notation. Takes some milliseconds for the largest.

    Raises :class:`ConstraintError` when it is too large, or cannot be followed exactly.
    """
    sources = [grammar.source, *(each.source for each in grammar.alternatives)]
    if sum(len(source.encode()) for source in sources) > MAX_GRAMMAR_BYTES:
        raise ConstraintError(f"it is larger than {MAX_GRAMMAR_BYTES} bytes")
    bare = not (grammar.before or grammar.after)
    return _plain(grammar) if bare and grammar.kind != "alternatives" else _lark(grammar)


def trial_source(grammar: Grammar) -> str:
    """The input of a trial: the grammar, and if it has several alternatives each of them alone."""
    if len(grammar.alternatives) < 2:
        return llguidance_source(grammar)
    alone = [replace(grammar, alternatives=(each,)) for each in grammar.alternatives]
    return SEPARATOR.join(map(llguidance_source, [grammar, *alone]))


def _plain(grammar: Grammar) -> str:
    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.source)
    schema, style = _schema(grammar.source if grammar.kind == "json_schema" else ANY_OBJECT)
    try:
        return LLMatcher.grammar_from_json_schema(dump_schema(schema), overrides=style)
    except ValueError as error:  # for instance, its parser bounds nesting
        raise ConstraintError(rejection(str(error))) from None


def _lark(grammar: Grammar) -> str:
    """A Lark grammar, for literal text around the grammar or for alternatives."""
    before, after = json.dumps(grammar.before), json.dumps(grammar.after)
    start = f"start: {before} body {after}"
    if grammar.triggered:
        mark = grammar.before.rstrip()  # the model need not choose the white space behind it
        space = json.dumps(grammar.before.removeprefix(mark))
        start = f"start: part* TEXT\npart: opening {space} body {after}"
        start += f"\nopening[lazy]: TEXT {json.dumps(mark)}\nTEXT: /(.|\\n)*/"
    return f"{start}\n{_body(grammar)}"


def _body(grammar: Grammar) -> str:
    match grammar.kind:
        case "regex":
            expression = regex_to_lark(grammar.source).replace(SEPARATOR, r"\x00")
            return f"body: BODY\nBODY: /{expression}/"
        case "alternatives":
            return "\n".join(_alternatives(grammar))
        case "json_schema":
            return f"body: {_json(grammar.source)}"
        case "json":
            return f"body: {_json(ANY_OBJECT)}"


def _alternatives(grammar: Grammar) -> Iterator[str]:
    """The rules of the alternatives. Each schema is a document of its own, with its own
    references."""
    yield "body: " + " | ".join(f"part_{i}" for i in range(len(grammar.alternatives)))
    for index, each in enumerate(grammar.alternatives):
        try:
            yield f"part_{index}: {json.dumps(each.before)} {_json(each.source)}"
        except ConstraintError as error:
            raise ConstraintError(str(error), part=index) from None


def _json(source: str) -> str:
    schema, style = _schema(source)
    return f"%json {dump_schema({**schema, 'x-guidance': style})}"


def _schema(source: str) -> tuple[dict[str, Any], Any]:
    """A schema that llguidance follows exactly, and the options for reading it."""
    try:
        made = prepare_schema(source)
    except UnsupportedSchema as error:
        raise ConstraintError(short(str(error))) from None
    return made.schema, {**_JSON_STYLE, "coerce_one_of": made.one_of_is_any_of}
