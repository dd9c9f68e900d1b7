"""Models that do not fit in memory together: as the cache serves them, and with plain LRU."""

from __future__ import annotations

from bench.model_swaps import REQUESTS, plain_lru, serve


def test_the_same_requests_load_far_fewer_models_than_with_plain_lru() -> None:
    two_clients = REQUESTS[0]
    ours = serve(two_clients)
    with plain_lru():
        lru = serve(two_clients)
    assert len(ours.waits) == len(lru.waits) == two_clients.clients * two_clients.rounds
    assert 8 * len(ours.loads) < len(lru.loads)
    assert ours.seconds < lru.seconds / 2
    assert ours.max_gb <= two_clients.budget_gb


def test_eviction_by_worth_spends_less_time_on_loading() -> None:
    mixed = REQUESTS[2]
    ours = serve(mixed)
    with plain_lru():
        lru = serve(mixed)
    assert sum(ours.loads) < 0.8 * sum(lru.loads)


def test_a_simulation_goes_the_same_way_every_time() -> None:
    assert serve(REQUESTS[1], seed=3) == serve(REQUESTS[1], seed=3)
