"""What is read from Serve's router, whose attributes are those of the pinned Ray."""

from __future__ import annotations

import inspect
from collections import Counter
from types import SimpleNamespace
from typing import Any

from ray.serve._private.router import AsyncioRouter, CurrentLoopRouter, RouterMetricsManager

from serve_app.ingress.cluster.handle_router import HandleRouter


class Metrics:
    """Counts running requests as Serve's own class does."""

    def __init__(self, max_queued_requests: int) -> None:
        self._deployment_config = SimpleNamespace(
            max_queued_requests=max_queued_requests, max_ongoing_requests=10
        )
        self.running = Counter[str]()

    def inc_num_running_requests_for_replica(self, replica: str) -> None:
        self.running[replica] += 1

    def dec_num_running_requests_for_replica(self, replica: str) -> None:
        self.running[replica] -= 1


def handle(metrics: Metrics, **actors: int) -> Any:
    """A handle whose router has a replica for each of ``actors``."""
    replicas = {name: SimpleNamespace(actor_id=actor) for name, actor in actors.items()}
    router = SimpleNamespace(
        _metrics_manager=metrics, request_router=SimpleNamespace(curr_replicas=replicas)
    )
    return SimpleNamespace(_router=SimpleNamespace(_asyncio_router=router))


def test_replicas_and_the_limit_of_the_queue_are_those_of_serve() -> None:
    router = HandleRouter(handle(Metrics(7), one=1, two=2))
    assert (router.replicas, router.max_queued_requests) == (2, 7)


def test_a_queue_without_a_limit_has_none() -> None:
    assert HandleRouter(handle(Metrics(-1))).max_queued_requests is None


def test_as_many_requests_may_be_on_their_way_as_run_and_wait() -> None:
    assert HandleRouter(handle(Metrics(7), one=1, two=2)).max_requests == 27
    assert HandleRouter(handle(Metrics(-1), one=1)).max_requests is None


def test_where_nothing_runs_yet_one_replica_is_assumed() -> None:
    assert HandleRouter(handle(Metrics(7))).replicas == 1


def test_requests_are_counted_at_the_replica_that_answers_and_given_back() -> None:
    metrics = Metrics(7)
    count = HandleRouter(handle(metrics, one=1, two=2)).running(SimpleNamespace(_actor_id=2))
    count.set(3)
    assert metrics.running == {"two": 3}
    count.set(1)
    assert metrics.running == {"two": 1}
    count.set(0)
    assert metrics.running == {"two": 0}


def test_a_replica_has_left_once_serve_no_longer_routes_to_it() -> None:
    router = HandleRouter(handle(Metrics(7), one=1, two=2))

    def answering(actor: int | None) -> Any:
        return SimpleNamespace(_replica_result=actor and SimpleNamespace(_actor_id=actor))

    assert [router.has_left(answering(actor)) for actor in (None, 1, 2, 3)] == [
        *(False, False, False),
        True,
    ]


def test_requests_of_a_replica_that_is_not_known_are_counted_at_another() -> None:
    metrics = Metrics(7)
    HandleRouter(handle(metrics, one=1)).running(SimpleNamespace()).set(2)
    assert metrics.running == {"one": 2}


def test_calls_that_wait_are_counted_at_a_replica_that_runs() -> None:
    metrics = Metrics(7)
    served = handle(metrics, one=1, two=2)
    router = HandleRouter(served)
    router.count_waiting(3)
    assert metrics.running == {"one": 3}
    del served._router._asyncio_router.request_router.curr_replicas["one"]
    router.count_waiting(2)
    assert metrics.running == {"one": 0, "two": 2}
    router.count_waiting(0)
    assert metrics.running == {"one": 0, "two": 0}


def test_calls_that_wait_for_the_first_replica_are_counted_once_it_runs() -> None:
    metrics = Metrics(7)
    served = handle(metrics)
    router = HandleRouter(served)
    router.count_waiting(3)
    served._router._asyncio_router.request_router.curr_replicas["one"] = SimpleNamespace(actor_id=1)
    router.count_waiting(2)
    assert metrics.running == {"one": 2}


def test_a_family_without_replicas_is_not_running() -> None:
    served = handle(Metrics(7))
    assert not HandleRouter(served).is_running
    served._router._asyncio_router.request_router.curr_replicas["one"] = SimpleNamespace(actor_id=1)
    assert HandleRouter(served).is_running
    assert not HandleRouter(object()).is_running


def test_without_a_router_nothing_is_counted() -> None:
    router = HandleRouter(object())
    router.running(object()).set(2)
    assert (router.replicas, router.max_queued_requests) == (1, None)


def test_serve_still_has_what_is_read_here() -> None:
    for owner, names in (
        (CurrentLoopRouter, ["_asyncio_router"]),
        (AsyncioRouter, ["_metrics_manager", "request_router", "curr_replicas"]),
        (
            RouterMetricsManager,
            [
                "_deployment_config",
                "inc_num_running_requests_for_replica",
                "dec_num_running_requests_for_replica",
            ],
        ),
    ):
        source = inspect.getsource(owner)
        assert [name for name in names if name not in source] == []
