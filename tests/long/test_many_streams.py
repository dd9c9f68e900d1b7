"""Many streams at once through a real graph, from an engine faster than the path to clients."""

from __future__ import annotations

import asyncio

from bench.graph.client import Address, StreamSample, read_stream, run
from bench.streams import generation_request, graph

STREAMS = 64
TOKENS = 300


def test_64_streams_arrive_whole_and_in_order_with_several_tokens_in_a_chunk() -> None:
    async def together(address: Address) -> list[StreamSample]:
        one = generation_request("stub/1ms", TOKENS)
        return await asyncio.gather(*(read_stream(address, one) for _ in range(STREAMS)))

    with graph().running() as server:
        address = Address("127.0.0.1", server.port)
        samples, _ = run(lambda: together(address))
    assert [each.tokens for each in samples] == [TOKENS] * STREAMS  # the client checks their order
    assert sum(each.chunks for each in samples) < STREAMS * TOKENS
