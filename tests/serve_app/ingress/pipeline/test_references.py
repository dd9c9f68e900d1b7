"""References: what counts as one, and what stands in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serve_app.ingress.pipeline import references

SOURCES = {
    "input": {"n": 3, "on": True, "nothing": None, "word": "pay $5", "0": "zero"},
    "hits": {"results": [{"text": "a kitten", "similarity": 0.5}, {"text": "a cat"}]},
    "mood": [{"sentiment": "good"}, {"error": {"message": "the text is empty"}}],
    "vectors": {"embeddings": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)},
}


def parsed(template: Any) -> Any:
    return references.parse(template, references.ReferenceLimits(1000, 16))


def put(template: Any) -> Any:
    return references.fill(parsed(template), SOURCES, lambda value: None)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("$input.n", 3),
        ("$input.on", True),
        ("$input.nothing", None),
        ("$input.0", "zero"),
        ("$hits.results.0.text", "a kitten"),
        ("$hits.results", SOURCES["hits"]["results"]),  # type: ignore[index]
        ("$mood.0.sentiment", "good"),
        ("$mood", SOURCES["mood"]),
        ("$vectors.embeddings", [[1.0, 2.0], [3.0, 4.0]]),
        ("$vectors.embeddings.1", [3.0, 4.0]),
        ("$vectors.embeddings.1.0", 3.0),
    ],
)
def test_a_reference_alone_is_the_value_with_its_type(template: str, value: Any) -> None:
    found = put(template)
    assert found == value
    assert type(found) is type(value)


def test_references_stand_anywhere_within_lists_and_objects() -> None:
    template = {"texts": ["$mood.0.sentiment", {"deep": ["$input.n"]}], "n": 1, "flag": False}
    assert put(template) == {"texts": ["good", {"deep": [3]}], "n": 1, "flag": False}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("${hits.results.0.text} and ${hits.results.1.text}", "a kitten and a cat"),
        ("${input.n}", "3"),
        ("n=${input.n}, on=${input.on}, x=${vectors.embeddings.0.1}", "n=3, on=true, x=2.0"),
        ("$$5 for ${mood.0.sentiment}", "$5 for good"),
        ("$$input.n", "$input.n"),
        ("$${input.n}", "${input.n}"),
        ("no dollar {at} all", "no dollar {at} all"),
    ],
)
def test_values_within_a_text_are_texts(template: str, text: str) -> None:
    assert put(template) == text


def test_what_was_put_in_is_not_read_for_references_again() -> None:
    sources = {"input": {"evil": "$secret.value ${secret.value}"}, "secret": {"value": "seen"}}
    template = parsed(["$input.evil", "<${input.evil}>"])
    assert references.fill(template, sources, lambda value: None) == [
        "$secret.value ${secret.value}",
        "<$secret.value ${secret.value}>",
    ]


@pytest.mark.parametrize(
    "template",
    [
        "$5",
        "it costs $5",
        "$cap.caption: more",
        "${cap.caption",
        "${}",
        "${cap..caption}",
        "$cap.",
        "${cap caption}",
        "$",
        "$input." + "x" * 101,
    ],
)
def test_a_lone_dollar_is_refused_with_the_way_to_write_it(template: str) -> None:
    with pytest.raises(references.ReferenceSyntaxError, match=r"\$\$ for a dollar sign") as refused:
        parsed({"texts": [template]})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("$input.word.0", "input.word has no '0'"),
        ("$input.m", "input has no 'm'; it has 'n', 'on'"),
        ("$hits.results.2", "hits.results has no '2': it is a list of 2"),
        ("$hits.results.-1", "hits.results has no '-1'"),
        ("$hits.results.first", "hits.results has no 'first'"),
        ("$mood.1.sentiment", "mood.1 has no 'sentiment': it failed \\(the text is empty\\)"),
        ("the ${hits.results}", "hits.results is no single value"),
        ("the ${input.nothing}", "input.nothing is no single value"),
        ("the ${vectors.embeddings.0}", "vectors.embeddings.0 is no single value"),
    ],
)
def test_what_is_not_there_says_where_the_path_ends(template: str, why: str) -> None:
    with pytest.raises(references.BrokenReference, match=why):
        put(template)


def test_every_reference_is_found() -> None:
    template = parsed({"a": ["$x.y", "in ${z} and ${input.n}"], "b": "$$x", "c": 4})
    assert list(references.references_in(template)) == [
        references.Reference("x", ("y",)),
        references.Reference("z", ()),
        references.Reference("input", ("n",)),
    ]


def test_everything_that_is_put_in_is_counted_first() -> None:
    taken: list[Any] = []
    references.fill(
        parsed({"a": "$input.n", "b": "<${hits.results.0.text}>"}), SOURCES, taken.append
    )
    assert taken == [3, "<", "a kitten", ">"]


def test_a_long_text_is_read_only_where_it_has_no_dollar_sign() -> None:
    long = "x" * 1001
    assert put({"image": long}) == {"image": long}
    with pytest.raises(references.ReferenceSyntaxError, match="1003 characters; the limit is 1000"):
        parsed({"image": long + "$$"})


def test_so_many_dollar_signs_are_read_in_one_graph_and_no_more() -> None:
    limits = references.ReferenceLimits(1000, 16)
    texts = ["$$" * 500] * (references.MAX_DOLLAR_SIGNS // 1000)
    assert references.parse(texts, limits) == ["$" * 500] * len(texts)
    with pytest.raises(references.ReferenceSyntaxError, match="more than 10,000 dollar signs"):
        references.parse("$input.n", limits)


def test_a_list_is_no_part_of_a_text_and_an_array_is_not_copied_to_see_it() -> None:
    class Whole(np.ndarray):
        def tolist(self) -> Any:
            raise AssertionError

    sources = {"vectors": np.zeros((3, 4)).view(Whole)}
    with pytest.raises(references.BrokenReference, match="vectors is no single value"):
        references.fill(parsed("<${vectors}>"), sources, lambda value: None)


LONG = ["$input{}", "in ${{input{}}}", "in ${{input{}", "in $input{}"]


@pytest.mark.parametrize("template", LONG)
def test_a_reference_with_too_many_names_is_refused_before_it_is_taken_apart(template: str) -> None:
    deep = template.format(".b" * 50_000)
    with pytest.raises(references.ReferenceSyntaxError, match="50001 names; the limit is 16"):
        references.parse(deep, references.ReferenceLimits(200_000, 16))


def test_a_sentence_behind_a_dollar_sign_is_no_long_reference() -> None:
    with pytest.raises(references.ReferenceSyntaxError, match="is no reference"):
        references.parse("$5. " + "So. " * 50, references.ReferenceLimits(1000, 16))
