from __future__ import annotations

from deployments.engine.remembered import Remembered


def test_what_was_asked_for_longest_ago_is_forgotten_first() -> None:
    remembered: Remembered[str, int] = Remembered(2)
    remembered.put("a", 1)
    remembered.put("b", 2)
    assert remembered.get("a") == 1
    remembered.put("c", 3)
    assert [remembered.get(key) for key in "abc"] == [1, None, 3]


def test_an_answer_that_is_found_again_counts_once() -> None:
    remembered: Remembered[str, int] = Remembered(2)
    for key in "abb":
        remembered.put(key, ord(key))
    assert remembered.get("a") == ord("a")
