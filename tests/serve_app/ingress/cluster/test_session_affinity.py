"""Sessions stay with a replica that knows their prompts, while it is there and not too busy."""

from __future__ import annotations

import asyncio

from deployments.seam.call_context import CallContext, ContextualCall
from tests.serve_app.ingress.cluster.routed_replicas import (
    MODEL,
    Replica,
    Routed,
    chat,
    sessions,
    three,
)


async def test_a_session_stays_with_one_replica_and_sessions_spread_over_all() -> None:
    routed = Routed(three(MODEL))
    for each in sessions(5):
        assert len(await routed.spread([each] * 10)) == 1
    spread = await routed.spread(sessions(90))
    assert len(spread) == 3
    assert min(spread.values()) >= 10


async def test_two_routers_choose_the_same_replica_for_a_session() -> None:
    one, other = Routed(three(MODEL)), Routed(reversed(three(MODEL)))
    for each in sessions(20):
        assert await one.one(each) == await other.one(each)


async def test_a_call_in_a_context_goes_where_it_goes_without_one() -> None:
    routed = Routed(three(MODEL))
    for each in sessions(20):
        call = ContextualCall(each, CallContext("a key"))
        assert await routed.one(call) == await routed.one(each)


async def test_only_the_sessions_of_a_lost_replica_move() -> None:
    routed = Routed(three(MODEL))
    before = {each.session: await routed.one(each) for each in sessions(30)}
    del routed.replicas["b"]
    routed.update()
    for each in sessions(30):
        after = await routed.one(each)
        assert after != "b"
        assert before[each.session] in {after, "b"}


async def test_a_request_for_a_replica_that_has_just_died_goes_to_another_one() -> None:
    routed = Routed(three(MODEL))
    request = chat("s-1")
    first = await routed.one(request)
    routed.replicas[first].is_dead = True
    routed.router.on_replica_actor_unavailable(routed.replicas[first].replica_id)
    assert await routed.one(request) != first


async def test_a_session_leaves_a_replica_with_a_much_longer_queue_and_comes_back() -> None:
    routed = Routed(three(MODEL))
    request = chat("s-1")
    home = await routed.one(request)
    for name in routed.replicas:
        routed.set_queue(name, 2)
    routed.set_queue(home, 10)
    assert await routed.one(request) == home
    routed.set_queue(home, 11)
    away = await routed.spread([request] * 10)
    assert home not in away
    assert len(away) == 1
    routed.set_queue(home, 3)
    assert await routed.one(request) == home


async def test_a_session_stays_when_the_other_queues_turn_out_to_be_as_long() -> None:
    routed = Routed(three(MODEL))
    request = chat("s-1")
    home = await routed.one(request)
    for replica in routed.replicas.values():
        replica.queue_len = 20  # which the router does not know yet
        routed.router.on_replica_actor_unavailable(replica.replica_id)
    routed.set_queue(home, 20)
    assert await routed.one(request) == home


async def test_a_full_replica_gives_the_session_to_another_one_that_holds_the_model() -> None:
    routed = Routed([Replica("a", MODEL, capacity=2), Replica("b", MODEL), Replica("c")])
    at_a = [each for each in sessions(50) if await routed.one(each) == "a"]
    assert at_a
    routed.set_queue("a", 2)
    assert set(await routed.spread(at_a)) == {"b"}


async def test_calls_of_one_http_request_that_wait_together_all_get_their_own_replica() -> None:
    routed = Routed(three(MODEL))
    expected = [await routed.one(each) for each in sessions(12)]
    together = [routed.one(each, internal_id="same") for each in sessions(12)]
    assert await asyncio.gather(*together) == expected


async def test_the_imbalances_are_serves_router_kwargs() -> None:
    routed = Routed(three(MODEL))
    routed.router.initialize_state(session_imbalance=1)
    request = chat("s-1")
    home = await routed.one(request)
    for name in routed.replicas:
        routed.set_queue(name, 2)
    routed.set_queue(home, 4)
    assert await routed.one(request) != home
