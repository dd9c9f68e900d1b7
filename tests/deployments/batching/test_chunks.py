"""Where a list is cut."""

from __future__ import annotations

from deployments.batching.chunks import in_parts
from deployments.batching.tuning import PART_CHARACTERS


def sizes(texts: list[str]) -> list[list[int]]:
    return [[len(text) for text in part] for part in in_parts(texts, len)]


def test_a_part_is_bounded_by_what_it_weighs() -> None:
    half = "x" * (PART_CHARACTERS // 2)
    assert sizes([half] * 5) == [[len(half)] * 2, [len(half)] * 2, [len(half)]]


def test_a_part_is_bounded_by_its_number() -> None:
    assert [len(part) for part in sizes(["x"] * 150)] == [64, 64, 22]


def test_a_text_that_is_too_heavy_is_a_part_by_itself() -> None:
    heavy = "x" * (PART_CHARACTERS + 1)
    assert sizes(["a", heavy, "b", "c"]) == [[1], [len(heavy)], [1, 1]]


def test_nothing_is_lost_and_the_order_stays() -> None:
    texts = [str(i) * (i * 97 % 5000) for i in range(300)]
    assert [text for part in in_parts(texts, len) for text in part] == texts
    assert list(in_parts([], len)) == []
