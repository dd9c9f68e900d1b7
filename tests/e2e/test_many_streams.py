"""Many streams at once through a real graph, from an engine that is quicker than the way."""

from __future__ import annotations

import asyncio

from bench.graph.client import Address, StreamSample, run, streamed
from bench.streams import graph, request_bytes

STREAMS = 64
TOKENS = 300


def test_64_streams_come_whole_and_in_order_and_tokens_join_on_the_way() -> None:
    async def together(address: Address) -> list[StreamSample]:
        one = request_bytes("stub/1ms", TOKENS)
        return await asyncio.gather(*(streamed(address, one) for _ in range(STREAMS)))

    with graph().running() as server:
        address = Address("127.0.0.1", server.port)
        brought, _ = run(lambda: together(address))
    assert [each.tokens for each in brought] == [TOKENS] * STREAMS  # the client checks their order
    assert sum(each.chunks for each in brought) < STREAMS * TOKENS
