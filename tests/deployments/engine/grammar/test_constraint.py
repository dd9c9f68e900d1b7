from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.grammar import compiler
from deployments.engine.grammar.compiler import GrammarCompiler
from deployments.engine.grammar.constraint import Constraint, ConstraintError
from deployments.engine.grammar.trial_queue import GrammarTrials
from deployments.engine.tuning import CACHED_GRAMMARS, MAX_GRAMMAR_BYTES
from deployments.seam.generation import Grammar

PATIENCE_S = 30.0
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def codec(torch_folder: Any) -> TextCodec:
    return TextCodec.from_folder(torch_folder)


@pytest.fixture(scope="module")
def grammars(codec: TextCodec) -> GrammarCompiler:
    return GrammarCompiler(codec)


def schema(**given: Any) -> Grammar:
    return Grammar("json_schema", json.dumps(given))


def allowed(constraint: Constraint, codec: TextCodec) -> npt.NDArray[np.bool_]:
    """Which tokens may come next, of shape (vocabulary,)."""
    bits = np.frombuffer(constraint.matcher.compute_bitmask(), np.uint8)
    constraint.check()
    return np.unpackbits(bits, bitorder="little", count=codec.vocab_size).view(np.bool_)


def accepts(constraint: Constraint, codec: TextCodec, text: str) -> bool:
    """Whether the whole of ``text`` is what the constraint asks for."""
    fresh = constraint.fresh()
    try:
        complete = [fresh.take(token) for token in codec.encode(text)]
    except ConstraintError:
        return False
    (end,) = codec.eos_ids
    return any(complete) or bool(allowed(fresh, codec)[end])


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"name": "Ada", "age": 36}', True),
        ('{"name": "Ada", "age": "36"}', False),
        ('{"age": 36, "name": "Ada"}', False),
        ('{"name": "Ada"}', False),
        ('{"name": "Ada", "age": 36, "more": 1}', False),
        ('{\n  "name": "Ada",\n  "age": 36\n}', False),
    ],
)
def test_a_schema_is_kept_to_the_letter(
    grammars: GrammarCompiler, codec: TextCodec, text: str, fits: bool
) -> None:
    assert accepts(grammars.compile(schema(**PERSON)), codec, text) is fits


def test_json_is_any_object_and_nothing_else(grammars: GrammarCompiler, codec: TextCodec) -> None:
    constraint = grammars.compile(Grammar("json"))
    assert accepts(constraint, codec, '{"a": [1, {"b": null}], "c": "é\\n"}')
    for text in ("[1]", "3", '"a"', "{'a': 1}", '{"a": 1', '{"a":     1}'):
        assert not accepts(constraint, codec, text)


def test_an_expression_matches_as_a_whole(grammars: GrammarCompiler, codec: TextCodec) -> None:
    constraint = grammars.compile(Grammar("regex", r"\d{3}-(a|b)/x"))
    assert accepts(constraint, codec, "123-b/x")
    assert not accepts(constraint, codec, "123-c/x")
    assert not accepts(constraint, codec, "123-b")


@pytest.mark.parametrize(
    "inner", [Grammar("json_schema", json.dumps(PERSON)), Grammar("regex", "x/y")]
)
def test_literals_stand_around_it(
    grammars: GrammarCompiler, codec: TextCodec, inner: Grammar
) -> None:
    body = "x/y" if inner.kind == "regex" else '{"name": "Ada", "age": 36}'
    around = Grammar(inner.kind, inner.source, '<call "é">\n', "\n</call>")
    constraint = grammars.compile(around)
    assert accepts(constraint, codec, f'<call "é">\n{body}\n</call>')
    assert not accepts(constraint, codec, body)
    assert not accepts(constraint, codec, f'<call "é">\n{body}')


def test_a_text_is_complete_where_nothing_may_follow(
    grammars: GrammarCompiler, codec: TextCodec
) -> None:
    fixed, open_ended = (grammars.compile(Grammar("regex", each)).fresh() for each in ("ab", "ab*"))
    assert [fixed.take(token) for token in codec.encode("a") + codec.encode("b")] == [False, True]
    assert not any(open_ended.take(token) for token in codec.encode("a") + codec.encode("b"))
    (end,) = codec.eos_ids
    assert allowed(open_ended, codec)[end]
    assert open_ended.take(end)


def test_copies_do_not_see_each_other(grammars: GrammarCompiler, codec: TextCodec) -> None:
    constraint = grammars.compile(Grammar("regex", "ab|cd"))
    one, other = constraint.fresh(), constraint.fresh()
    one.take(codec.encode("a")[0])
    assert allowed(other, codec)[codec.encode("c")[0]]
    assert not allowed(one, codec)[codec.encode("c")[0]]


def test_control_tokens_are_no_text(grammars: GrammarCompiler, codec: TextCodec) -> None:
    (start, *_) = codec.encode("<|im_start|>")
    assert not allowed(grammars.compile(Grammar("regex", ".*")).fresh(), codec)[start]


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        (Grammar("json_schema", "{bad"), "key must be a string"),
        (schema(type="nonsense"), "nonsense"),
        (schema(type="array", uniqueItems=True), "uniqueItems"),
        (schema(**{"$ref": "#/nowhere"}), "nowhere"),
        (schema(**{"$ref": "http://127.0.0.1:9/x"}), "not present"),
        (schema(oneOf=[{"type": "string"}, {"type": "string", "maxLength": 3}]), "oneOf"),
        (schema(type="string", minLength=3, maxLength=1), "Unsatisfiable"),
        (
            schema(
                allOf=[
                    {
                        "anyOf": [
                            {"minimum": i},
                            {"title": "t", "type": "object", "properties": {f"a{i}": {}}},
                        ]
                    }
                    for i in range(24)
                ]
            ),
            "too large",
        ),
        (Grammar("regex", "(("), "unclosed group"),
        (Grammar("regex", "(?=a)b"), "look-around"),
        (Grammar("regex", "x" * (MAX_GRAMMAR_BYTES + 1)), str(MAX_GRAMMAR_BYTES)),
        (Grammar("json_schema", '{"items":' * 190 + "{}" + "}" * 190), "recursion"),
    ],
)
async def test_a_grammar_that_cannot_be_followed_says_why(grammar: Grammar, says: str) -> None:
    with pytest.raises(ConstraintError, match=says) as caught:
        await GrammarTrials().check(grammar)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


def entangled(members: int) -> Grammar:
    """A small schema whose compilation doubles with each member."""
    return schema(
        allOf=[
            {
                "anyOf": [
                    {"type": "string", "pattern": f"^{chr(97 + i)}.*"},
                    {"type": "integer", "multipleOf": i + 2},
                    {"type": "object", "properties": {f"p{i}": {"type": "integer"}}},
                ]
            }
            for i in range(members)
        ]
    )


@pytest.mark.parametrize(
    "grammar", [entangled(18), schema(type="integer", multipleOf=999_983)], ids=["time", "memory"]
)
async def test_a_grammar_that_takes_too_much_is_refused(grammar: Grammar) -> None:
    with pytest.raises(ConstraintError, match="too complex"):
        await GrammarTrials().check(grammar)


async def test_a_trial_whose_process_fails_has_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = GrammarTrials()
    with monkeypatch.context() as broken:
        broken.setattr("deployments.engine.grammar.trial.sys.executable", "/bin/false")
        with pytest.raises(RuntimeError, match="trial failed"):
            await trials.check(schema(**PERSON))
    await trials.check(schema(**PERSON))


def test_recently_compiled_grammars_are_cached(codec: TextCodec) -> None:
    grammars = GrammarCompiler(codec)
    first, *others = (Grammar("regex", f"{number}") for number in range(CACHED_GRAMMARS + 1))
    assert grammars.cached(first) is None
    compiled = grammars.compile(first)
    for other in others[:-1]:
        grammars.compile(other)
    assert grammars.cached(first) is compiled
    grammars.compile(others[-1])
    assert grammars.cached(first) is compiled
    assert grammars.cached(others[0]) is None


def test_concurrent_calls_for_the_same_grammar_compile_it_once(
    codec: TextCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    grammars = GrammarCompiler(codec)
    begun, end, write = Semaphore(0), Event(), compiler.llguidance_source

    def llguidance_source(grammar: Grammar) -> str:
        begun.release()
        assert end.wait(PATIENCE_S)
        return write(grammar)

    monkeypatch.setattr(compiler, "llguidance_source", llguidance_source)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(grammars.compile, schema(**PERSON))
        assert begun.acquire(timeout=PATIENCE_S)
        second = threads.submit(grammars.compile, schema(**PERSON))
        other = threads.submit(grammars.compile, Grammar("regex", "a"))
        assert begun.acquire(timeout=PATIENCE_S)  # the other one, which waits for none
        assert not begun.acquire(timeout=0.1)
        end.set()
        assert first.result(PATIENCE_S) is second.result(PATIENCE_S)
        assert other.result(PATIENCE_S).grammar.kind == "regex"


def test_integers_may_have_more_than_64_bits(grammars: GrammarCompiler, codec: TextCodec) -> None:
    assert accepts(grammars.compile(schema(const=10**30)), codec, str(10**30))


def test_a_schema_cannot_loosen_its_own_rules(grammars: GrammarCompiler, codec: TextCodec) -> None:
    loose = {"x-guidance": {"whitespace_flexible": True, "lenient": True}}
    assert not accepts(
        grammars.compile(schema(**PERSON, **loose)), codec, '{"name":  "A", "age": 1}'
    )
    with pytest.raises(ConstraintError, match="uniqueItems"):
        grammars.compile(schema(type="array", uniqueItems=True, **loose))
    with pytest.raises(ConstraintError, match="uniqueItems"):
        grammars.compile(
            Grammar("json_schema", json.dumps({"type": "array", "uniqueItems": True, **loose}), "<")
        )


def test_what_becomes_too_complex_while_decoding_fails_then(
    grammars: GrammarCompiler, codec: TextCodec
) -> None:
    grammar, other = Grammar("regex", "(a?){2000}a{2000}"), schema(**PERSON)
    constraint = grammars.compile(grammar).fresh()
    kept = grammars.compile(other)
    (token,) = codec.encode("a")

    def decode() -> None:
        for _ in range(100):
            allowed(constraint, codec)
            constraint.take(token)

    with pytest.raises(ConstraintError, match="no further"):
        decode()
    assert grammars.cached(grammar) is None  # it has the memory that was too much
    assert grammars.cached(other) is kept
