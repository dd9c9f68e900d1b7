"""Limits are of the minutes of a clock, which replicas share."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.keys.limits import NO_LIMITS, KeyLimits
from serve_app.ingress.keys.records import Amounts

SCOPES = frozenset({"inference"})
BOTH = ApiKey("ada", "a" * 64, SCOPES, requests_per_minute=2, tokens_per_minute=10)


@pytest.fixture
def limits() -> KeyLimits:
    return KeyLimits(lambda: 6017.0)


async def used(limits: KeyLimits, amounts: Amounts) -> None:
    limits.used("ada", amounts)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_refusal_says_when_the_minute_ends(limits: KeyLimits) -> None:
    found = [await limits.admit(BOTH) for _ in range(3)]
    assert [each.retry_after_s > 0 for each in found] == [False, False, True]
    assert 40 < found[-1].retry_after_s <= 43
    assert found[-1].exceeded == "2 requests"
    headers = dict(found[-1].headers)
    assert headers[b"x-ratelimit-reset-requests"] == f"{found[-1].retry_after_s}s".encode()
    assert headers[b"x-ratelimit-remaining-tokens"] == b"10"


async def test_a_refused_request_does_not_count(limits: KeyLimits) -> None:
    await used(limits, Amounts(tokens=10))
    for _ in range(5):
        assert (await limits.admit(BOTH)).exceeded == "10 tokens"
    more = ApiKey("ada", "b" * 64, SCOPES, requests_per_minute=2)
    assert dict((await limits.admit(more)).headers)[b"x-ratelimit-remaining-requests"] == b"1"


async def test_what_other_replicas_admitted_counts(limits: KeyLimits) -> None:
    await used(limits, Amounts(2, 3))
    standing = await limits.admit(BOTH)
    assert standing.exceeded == "2 requests"
    assert dict(standing.headers)[b"x-ratelimit-remaining-tokens"] == b"7"


async def test_a_key_without_limits_has_no_headers(limits: KeyLimits) -> None:
    assert await limits.admit(ApiKey("free", "f" * 64, SCOPES)) == NO_LIMITS
