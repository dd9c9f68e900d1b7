from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest

from deployments.engine.stopping import StopScanner


def splits(text: str) -> Iterator[list[str]]:
    """Every way to cut a text into pieces."""
    for count in range(len(text)):
        for cuts in combinations(range(1, len(text)), count):
            edges = [0, *cuts, len(text)]
            yield [text[a:b] for a, b in pairwise(edges)]


def scan(stops: tuple[str, ...], pieces: list[str]) -> tuple[str, bool]:
    scanner, shown = StopScanner(stops), ""
    for piece in pieces:
        text, stopped = scanner.push(piece)
        shown += text
        if stopped:
            return shown, True
    return shown + scanner.flush(), False


@pytest.mark.parametrize(
    ("stops", "text", "expected"),
    [
        (("END",), "one END two", ("one ", True)),
        (("END",), "one EN two", ("one EN two", False)),
        (("END",), "EEENDE", ("EE", True)),
        (("END",), "the EN", ("the EN", False)),
        (("aab",), "aaaab!", ("aa", True)),
        (("abc", "b"), "xabcy", ("xa", True)),
        (("abc", "c"), "xabcy", ("x", True)),
        (("\n\n", "\nUser:"), "hi\nUser: x", ("hi", True)),
        (("🙂",), "ab🙂c", ("ab", True)),
        ((), "anything", ("anything", False)),
        (("",), "anything", ("anything", False)),
    ],
)
def test_a_text_stops_at_the_same_place_however_it_is_cut(
    stops: tuple[str, ...], text: str, expected: tuple[str, bool]
) -> None:
    assert {scan(stops, pieces) for pieces in splits(text)} == {expected}


def test_nothing_of_a_stop_string_is_ever_shown() -> None:
    scanner = StopScanner(("stop here",))
    assert scanner.push("please stop") == ("please ", False)
    assert scanner.push(" he") == ("", False)
    assert scanner.push("re now") == ("", True)


def test_text_that_turns_out_harmless_is_released_at_once() -> None:
    scanner = StopScanner(("stop here",))
    assert scanner.push("stop") == ("", False)
    assert scanner.push(" it") == ("stop it", False)
