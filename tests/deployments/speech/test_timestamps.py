"""Timestamp tokens split a window into segments."""

from __future__ import annotations

import pytest

from deployments.speech.timestamps import SegmentTokens, split_segments

T = 100
"""The token of 0.0 s."""


def at(seconds: float) -> int:
    return T + round(seconds * 50)


@pytest.mark.parametrize(
    ("tokens", "segments", "advance"),
    [
        # Two whole segments, then nothing.
        (
            [at(0), 1, 2, at(4), at(4), 3, at(9)],
            [(0, 4, (at(0), 1, 2, at(4))), (4, 9, (at(4), 3, at(9)))],
            30,
        ),
        # The last one has no end: it belongs to the next window.
        ([at(0), 1, at(4), at(4), 2], [(0, 4, (at(0), 1, at(4)))], 4),
        ([at(1), 1, at(4), at(5), 2, at(9), at(9)], [(1, 4, None), (5, 9, None)], 9),
        # No pair of timestamps: one segment.
        ([at(0), 1, 2], [(0, 30, (at(0), 1, 2))], 30),
        ([at(0), 1, 2, at(12)], [(0, 12, (at(0), 1, 2, at(12)))], 30),
        ([], [], 30),
        # A step that is too small takes what is left of the window.
        ([at(0), 1, at(0.5), at(0.5), 2], [(0, 0.5, None), (0.5, 30, (at(0.5), 2))], 30),
    ],
)
def test_segments(
    tokens: list[int], segments: list[tuple[float, float, tuple[int, ...] | None]], advance: float
) -> None:
    found, seconds = split_segments(tokens, T, 30.0)
    assert seconds == pytest.approx(advance)
    assert [each.start for each in found] == pytest.approx([start for start, *_ in segments])
    assert [each.end for each in found] == pytest.approx([end for _, end, _ in segments])
    for each, (*_, expected) in zip(found, segments, strict=True):
        assert expected in (None, each.tokens)


def test_no_time_is_behind_the_end_of_the_recording() -> None:
    found, advance = split_segments([at(0), 1, at(29)], T, 11.0)
    assert found == [SegmentTokens(0.0, 11.0, (at(0), 1, at(29)))]
    assert advance == 11.0
