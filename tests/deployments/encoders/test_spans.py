"""Entities from the labels of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from deployments.encoders.spans import Probabilities, TokenLabels, Window, windows
from deployments.seam.entities import Aggregation, Entity
from tests.deployments.families import tokenizer

NAMES = ("O", "B-CITY", "I-CITY", "B-MAIL", "I-MAIL", "NAME")


def entities(
    text: str,
    seen: Iterable[tuple[Window, Probabilities]],
    names: Sequence[str],
    aggregation: Aggregation = "first",
) -> tuple[Entity, ...]:
    """The entities of ``text``, from an array of (tokens, labels) for each window."""
    reading = TokenLabels(text, aggregation)
    for window, probabilities in seen:
        reading.add_window(window, probabilities, names)
    return reading.entities()


@pytest.fixture(scope="module")
def bert() -> Any:
    return tokenizer()


def tagged(
    bert: Any, text: str, *labels: str, aggregation: Aggregation = "first"
) -> tuple[Entity, ...]:
    """The entities of ``text`` if its tokens have these labels, and special tokens ``O``."""
    (read,) = windows(bert, [text], 16)
    seen = [(read[0], probabilities(len(read[0].words), *labels))]
    return entities(text, seen, NAMES, aggregation)


def probabilities(length: int, *labels: str, sure: float = 0.9) -> Probabilities:
    made = np.full((length, len(NAMES)), (1 - sure) / (len(NAMES) - 1), np.float32)
    for position, label in enumerate(["O", *labels, "O"]):
        made[position, NAMES.index(label)] = sure
    return made


def spans(text: str, found: tuple[Entity, ...]) -> list[tuple[str, str]]:
    return [(entity.label, text[entity.start : entity.end]) for entity in found]


def test_a_word_inside_continues_the_entity_that_began(bert: Any) -> None:
    text = "a b c d"
    found = tagged(bert, text, "B-CITY", "I-CITY", "O", "B-CITY")
    assert spans(text, found) == [("CITY", "a b"), ("CITY", "d")]
    assert found[0].score == pytest.approx(0.9)


def test_a_word_with_b_begins_a_new_entity(bert: Any) -> None:
    assert spans("a b", tagged(bert, "a b", "B-CITY", "B-CITY")) == [("CITY", "a"), ("CITY", "b")]


def test_another_label_ends_an_entity(bert: Any) -> None:
    found = tagged(bert, "a b c", "B-CITY", "I-MAIL", "NAME")
    assert spans("a b c", found) == [("CITY", "a"), ("MAIL", "b"), ("NAME", "c")]


def test_labels_without_prefixes_join_adjacent_words(bert: Any) -> None:
    assert spans("a b c", tagged(bert, "a b c", "NAME", "NAME", "O")) == [("NAME", "a b")]


def test_a_word_has_the_label_of_its_first_token(bert: Any) -> None:
    text = "cats sporting"
    found = tagged(bert, text, "B-CITY", "O", "O", "B-CITY")
    assert spans(text, found) == [("CITY", "cats")]


def test_tokens_may_be_entities_by_themselves(bert: Any) -> None:
    text = "cats sporting"  # cat ##s sport ##ing
    labels = ("B-CITY", "I-CITY", "O", "B-CITY")
    simple = tagged(bert, text, *labels, aggregation="simple")
    assert spans(text, simple) == [("CITY", "cats"), ("CITY", "ing")]
    single = tagged(bert, text, *labels, aggregation="none")
    assert spans(text, single) == [("B-CITY", "cat"), ("I-CITY", "s"), ("B-CITY", "ing")]


@pytest.mark.parametrize(
    ("aggregation", "label"), [("first", "CITY"), ("max", "MAIL"), ("average", "NAME")]
)
def test_the_tokens_of_a_word_get_one_label(
    bert: Any, aggregation: Aggregation, label: str
) -> None:
    text = "cats"
    (read,) = windows(bert, [text], 16)
    rows = np.zeros((4, len(NAMES)), np.float32)
    rows[1, [NAMES.index("B-CITY"), NAMES.index("NAME")]] = 0.52, 0.48
    rows[2, [NAMES.index("B-MAIL"), NAMES.index("NAME")]] = 0.6, 0.4
    found = entities(text, [(read[0], rows)], NAMES, aggregation)
    assert spans(text, found) == [(label, text)]


def test_parts_joined_by_punctuation_are_one_address(bert: Any) -> None:
    text = "a.b@c , d"
    found = tagged(bert, text, *(["B-MAIL"] * 5), "O", "B-MAIL")
    assert spans(text, found) == [("MAIL", "a.b@c"), ("MAIL", "d")]


def test_offsets_count_characters_of_the_text_as_given(bert: Any) -> None:
    text = "😀 É, A b"  # an unknown word, a letter that loses its accent, a capital
    found = tagged(bert, text, "O", "B-CITY", "O", "B-CITY", "I-CITY")
    assert spans(text, found) == [("CITY", "É"), ("CITY", "A b")]
    assert (found[1].start, found[1].end) == (5, 8)


def test_no_label_is_no_entity(bert: Any) -> None:
    assert tagged(bert, "a b", "O", "O") == ()


def test_a_long_text_is_read_in_windows_that_overlap(bert: Any) -> None:
    text = " ".join("abcdefghij" * 4)
    (read,) = windows(bert, [text], 16)
    assert len(read) > 2
    assert all(len(window.tokens) <= 16 for window in read)
    seen = {word for window in read for word in window.words if word is not None}
    assert seen == set(range(40))
    first, second = (set(window.words) - {None} for window in read[:2])
    assert len(first & second) == 4


def test_a_word_in_two_windows_is_read_where_it_is_furthest_from_the_edge(bert: Any) -> None:
    text = " ".join("abcdefghij" * 2)
    (read,) = windows(bert, [text], 16)

    def starts(first: set[int], second: set[int]) -> list[int]:
        labelled = [(read[0], _cities(read[0], first)), (read[1], _cities(read[1], second))]
        return [entity.start for entity in entities(text, labelled, NAMES)]

    # Words 10 to 13 are in both: 10 and 11 lie further inside the first, 12 and 13 the second.
    assert starts({12, 13}, {10, 11}) == []
    assert starts({10}, {13}) == [20, 26]


def _cities(window: Window, words: set[int]) -> Probabilities:
    labels = ["B-CITY" if word in words else "O" for word in window.words[1:-1]]
    return probabilities(len(window.words), *labels)


def test_texts_keep_their_windows_apart(bert: Any) -> None:
    long = " ".join("abcdefghij" * 2)
    read = windows(bert, ["a", long, "b"], 16)
    assert [len(of_text) for of_text in read] == [1, 2, 1]
    assert set(read[0][0].tokens.features) == {"input_ids", "token_type_ids", "attention_mask"}
