"""Splits the tokens that Whisper generated for one window into segments, by timestamp tokens.

After https://github.com/openai/whisper/blob/main/whisper/transcribe.py: a segment is between two
timestamp tokens, and the next window begins where the last whole segment ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

SECONDS_PER_STEP = 0.02
MIN_ADVANCE_S = 1.0
"""A window goes on by at least this much, or else to its end: so a recording has few windows."""


class SegmentTokens(NamedTuple):
    """Tokens of one segment, whose times are in seconds from the beginning of the window."""

    start: float
    end: float
    tokens: tuple[int, ...]


def split_segments(
    tokens: Sequence[int], timestamp_begin: int, seconds: float
) -> tuple[list[SegmentTokens], float]:
    """The segments of a window of so many ``seconds``, and the seconds that they account for.

    ``timestamp_begin`` is the token of 0.0 s; each token after it is 0.02 s later.
    """

    def time_of(token: int) -> float:
        return min(seconds, (token - timestamp_begin) * SECONDS_PER_STEP)

    is_timestamp = [token >= timestamp_begin for token in tokens]
    ends = [place for place, both in enumerate(pairwise(is_timestamp), 1) if all(both)]
    if not ends:
        timestamps = [token for token in tokens if token > timestamp_begin]
        end = time_of(timestamps[-1]) if timestamps else seconds
        return ([SegmentTokens(0.0, end, tuple(tokens))] if tokens else []), seconds
    to_the_end = is_timestamp[-2:] == [False, True]  # after it nothing is said
    if to_the_end:
        ends.append(len(tokens))
    segments = [
        SegmentTokens(time_of(part[0]), time_of(part[-1]), tuple(part))
        for part in _cut(tokens, ends)
    ]
    if to_the_end:
        return segments, seconds
    advance = segments[-1].end
    if advance >= MIN_ADVANCE_S:
        return segments, advance
    rest = tuple(tokens[ends[-1] :])
    return [*segments, SegmentTokens(advance, seconds, rest)], seconds


def _cut(tokens: Sequence[int], ends: Sequence[int]) -> Iterator[Sequence[int]]:
    yield from (tokens[begin:end] for begin, end in pairwise([0, *ends]))
