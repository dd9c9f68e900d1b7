"""The replica of a call: who holds the model, who knows the prompt, and who is too busy.

The router is Serve's own but for the choice; the replicas are fakes that tell their queue's length.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

from ray.exceptions import ActorDiedError
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    ReplicaID,
    RequestMetadata,
)
from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import PendingRequest, RunningReplica

from configs.routers import ROUTER
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.embeddings import EmbeddingRequest
from deployments.seam.generation import GenerationRequest
from deployments.seam.joined_calls import JoinedCalls
from deployments.seam.replicas import ModelOrder
from serve_app.ingress.cluster.affinity_router import AffinityRouter

FAMILY = DeploymentID("Generation", "prsm")
MODEL = "house/fast"
BOUND_S = 20.0


class Replica:
    """A running replica, as a router sees it."""

    availability_zone = None

    def __init__(self, name: str, *models: str, node: str = "node-1", capacity: int = 100) -> None:
        self.replica_id = ReplicaID(name, FAMILY)
        self.node_id = node
        self.max_ongoing_requests = capacity
        self.routing_stats: dict[str, Any] = {"models": dict.fromkeys(models, "warm")}
        self.replica_metadata: dict[str, Any] = {}
        self.queue_len = 0
        self.is_dead = False

    @property
    def name(self) -> str:
        return self.replica_id.unique_id

    async def get_queue_len(self, *, deadline_s: float) -> int:
        if self.is_dead:
            raise ActorDiedError
        return self.queue_len


def three(*models: str) -> list[Replica]:
    return [Replica(name, *models) for name in ("a", "b", "c")]


class Routed:
    """A router over ``replicas``; ``one`` is the name of the replica that gets a request."""

    def __init__(self, replicas: Iterable[Replica], *, prefer_local: bool = False) -> None:
        self.router = AffinityRouter(
            deployment_id=FAMILY,
            handle_source=DeploymentHandleSource.REPLICA,
            use_replica_queue_len_cache=True,
            self_node_id="node-1",
            prefer_local_node_routing=prefer_local,
        )
        self.replicas = {each.name: each for each in replicas}
        self.update()

    def update(self) -> None:
        self.router.update_replicas(cast("list[RunningReplica]", list(self.replicas.values())))

    def set_queue(self, name: str, length: int) -> None:
        replica = self.replicas[name]
        replica.queue_len = length
        self.router.on_new_queue_len_info(replica.replica_id, length)

    async def one(self, *args: Any, internal_id: str = "i") -> str:
        pending = PendingRequest([*args], {}, RequestMetadata("r", internal_id))
        async with asyncio.timeout(BOUND_S):
            chosen = await self.router._choose_replica_for_request(pending)
        self.router.on_request_routed(pending, chosen.replica_id, cast("Any", None))
        return chosen.replica_id.unique_id

    async def spread(self, requests: Iterable[Any]) -> Counter[str]:
        return Counter([await self.one(each) for each in requests])


def chat(session: str, model: str = MODEL) -> GenerationRequest:
    return GenerationRequest("id-1", model, prompt="Hi", session=session)


def texts(model: str) -> EmbeddingRequest:
    return EmbeddingRequest(model, ("a red circle",))


def sessions(count: int, model: str = MODEL) -> list[GenerationRequest]:
    return [chat(f"s-{number}", model) for number in range(count)]


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


async def test_calls_of_one_http_request_that_wait_together_all_get_their_own_replica() -> None:
    routed = Routed(three(MODEL))
    expected = [await routed.one(each) for each in sessions(12)]
    together = [routed.one(each, internal_id="same") for each in sessions(12)]
    assert await asyncio.gather(*together) == expected


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


async def test_the_imbalances_are_serves_router_kwargs() -> None:
    routed = Routed(three(MODEL))
    routed.router.initialize_state(session_imbalance=1)
    request = chat("s-1")
    home = await routed.one(request)
    for name in routed.replicas:
        routed.set_queue(name, 2)
    routed.set_queue(home, 4)
    assert await routed.one(request) != home


def test_the_option_of_families_names_this_router() -> None:
    config = RequestRouterConfig(**ROUTER)
    assert config.get_request_router_class() is AffinityRouter
