"""The replica of a call: who holds the model, and who is too busy.

The router is Serve's own but for the choice; the replicas are fakes that tell their queue's length.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from ray.serve.config import RequestRouterConfig

from configs.routers import ROUTER
from deployments.seam.joined_calls import JoinedCalls
from deployments.seam.replicas import ModelOrder
from serve_app.ingress.cluster.affinity_router import AffinityRouter
from tests.serve_app.ingress.cluster.routed_replicas import (
    MODEL,
    Replica,
    Routed,
    chat,
    sessions,
    texts,
    three,
)


async def test_requests_without_a_session_go_to_the_shorter_of_two_queues() -> None:
    routed = Routed(three("house/small"))
    routed.set_queue("a", 5)
    routed.set_queue("b", 1)
    routed.set_queue("c", 5)
    spread = await routed.spread([texts("house/small")] * 60)
    assert spread["b"] >= 20
    assert spread["a"] + spread["c"] > 0


async def test_calls_go_to_the_replicas_that_hold_the_model() -> None:
    held, other = Replica("a", MODEL), Replica("b", "house/small")
    routed = Routed([held, other, Replica("c", MODEL, "house/small")])
    assert set(await routed.spread([texts("house/small")] * 30)) == {"b", "c"}
    assert set(await routed.spread(sessions(30))) == {"a", "c"}


async def test_calls_that_travel_together_go_to_the_replicas_that_hold_their_model() -> None:
    routed = Routed([Replica("a", "house/small"), Replica("b"), Replica("c")])
    assert set(await routed.spread([JoinedCalls("i", "embed", "house/small", {})] * 20)) == {"a"}


async def test_a_model_that_nobody_holds_is_loaded_by_one_replica() -> None:
    requests = [*sessions(20), *[texts(MODEL)] * 20, ModelOrder(MODEL, 9.0)]
    assert len(await Routed(three()).spread(requests)) == 1
    homes = [set(await Routed(three()).spread(sessions(3, f"m/{n}"))) for n in range(20)]
    assert len(set.union(*homes)) == 3


async def test_while_one_replica_loads_a_model_its_requests_wait_there_however_many() -> None:
    routed = Routed(three())
    home = await routed.one(texts(MODEL))
    routed.set_queue(home, 90)
    assert await routed.one(texts(MODEL)) == home
    routed.replicas[home].routing_stats = {"models": {MODEL: "loading"}}
    routed.update()
    assert set(await routed.spread([texts(MODEL)] * 9)) == {home}


async def test_a_second_replica_loads_a_model_when_the_first_has_a_much_longer_queue() -> None:
    routed = Routed([Replica("a", MODEL), Replica("b"), Replica("c")])
    for name in routed.replicas:
        routed.set_queue(name, 1)
    routed.set_queue("a", 33)
    assert await routed.one(texts(MODEL)) == "a"
    routed.set_queue("a", 34)
    second = await routed.one(texts(MODEL))
    assert second != "a"
    assert set(await routed.spread([texts(MODEL)] * 9)) == {"a"}  # until the other has loaded it
    routed.replicas[second].routing_stats = {"models": {MODEL: "warm"}}
    routed.update()
    assert set(await routed.spread([texts(MODEL)] * 20)) <= {"a", second}


async def test_a_model_is_not_loaded_by_a_replica_that_is_busy_with_others() -> None:
    usual = await Routed(three()).one(texts(MODEL))
    routed = Routed(three())
    for name in routed.replicas:
        routed.set_queue(name, 1)
    routed.set_queue(usual, 40)
    assert await routed.one(texts(MODEL)) != usual


async def test_replicas_that_have_not_reported_yet_hold_their_pinned_models() -> None:
    replicas = three()
    for each in replicas:
        each.routing_stats, each.replica_metadata = {}, {"pinned": [MODEL]}
    assert len(await Routed(replicas).spread(sessions(60))) == 3


async def test_an_unloaded_pinned_model_is_loaded_again_by_one_replica() -> None:
    replicas = three()
    for each in replicas:
        each.replica_metadata = {"pinned": [MODEL]}
    assert len(await Routed(replicas).spread(sessions(30))) == 1


async def test_requests_that_name_no_model_go_to_any_replica() -> None:
    replicas = three()
    for each in replicas:
        each.routing_stats = {}
    requests: list[Any] = [None, "text", [], SimpleNamespace(model=7)] * 15
    assert len(await Routed(replicas).spread(requests)) == 3


async def test_one_replica_gets_everything() -> None:
    routed = Routed([Replica("a")])
    assert set(await routed.spread([chat("s"), texts(MODEL), None, [], 7])) == {"a"}


async def test_of_the_replicas_with_the_model_those_on_the_callers_node_come_first() -> None:
    replicas = [Replica("a", "m/1"), Replica("b", "m/1", node="node-2"), Replica("c")]
    routed = Routed(replicas, prefer_local=True)
    assert set(await routed.spread([texts("m/1")] * 20)) == {"a"}
    elsewhere = Routed([Replica("a"), Replica("b", "m/1", node="node-2")], prefer_local=True)
    assert set(await elsewhere.spread([texts("m/1")] * 5)) == {"b"}


async def test_a_call_waits_until_a_replica_has_room_and_one_that_left_takes_none() -> None:
    routed = Routed([Replica("a", MODEL, capacity=1), Replica("b", MODEL, capacity=1)])
    for name in routed.replicas:
        routed.set_queue(name, 1)
    left = asyncio.ensure_future(routed.one(chat("s-1")))
    waiting = asyncio.ensure_future(routed.one(chat("s-2")))
    await asyncio.sleep(0)
    left.cancel()
    assert not waiting.done()
    routed.set_queue("b", 0)
    assert await waiting == "b"
    assert left.cancelled()
    assert not routed.router._waiting


def test_the_option_of_families_names_this_router() -> None:
    config = RequestRouterConfig(**ROUTER)
    assert config.get_request_router_class() is AffinityRouter
