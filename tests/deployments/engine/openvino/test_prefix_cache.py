"""The estimate of what OpenVINO's prefix cache holds."""

from __future__ import annotations

from deployments.engine.openvino.genai_config import KV_BLOCK_TOKENS as BLOCK
from deployments.engine.openvino.prefix_cache import PrefixCacheEstimate

FIRST = tuple(range(3 * BLOCK + 5))


def remembering(*texts: tuple[int, ...], capacity: int = 100 * BLOCK) -> PrefixCacheEstimate:
    estimate = PrefixCacheEstimate(capacity)
    for text in texts:
        estimate.remember(text)
    return estimate


def test_the_same_text_again_is_cached_to_its_last_token() -> None:
    assert remembering(FIRST).cached_tokens(FIRST) == len(FIRST)


def test_a_text_that_continues_another_has_its_whole_blocks() -> None:
    assert remembering(FIRST).cached_tokens((*FIRST, 7, 8, 9)) == 3 * BLOCK


def test_texts_that_differ_early_share_nothing_behind_that() -> None:
    other = (*FIRST[:BLOCK], 0, *FIRST[BLOCK + 1 :])
    assert remembering(FIRST).cached_tokens(other) == BLOCK
    assert remembering(FIRST).cached_tokens((0, 0, *FIRST[2:])) == 0
    assert remembering(FIRST, other).cached_tokens(other) == len(other)


def test_nothing_counts_once_a_quarter_of_the_cache_was_computed_since() -> None:
    estimate = remembering(FIRST)
    estimate.compute(25 * BLOCK)
    assert estimate.cached_tokens(FIRST) == len(FIRST)
    estimate.compute(1)
    assert estimate.cached_tokens(FIRST) == 0


def test_it_remembers_no_more_than_the_cache_can_hold() -> None:
    estimate = PrefixCacheEstimate(8 * BLOCK)
    for number in range(100):
        estimate.remember((number,) * 4 * BLOCK)
    assert [estimate.cached_tokens((number,) * 4 * BLOCK) > 0 for number in (0, 97, 98, 99)] == [
        False,
        False,
        True,
        True,
    ]
