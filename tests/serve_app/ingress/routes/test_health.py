"""Health, as load balancers and people ask for it."""

from __future__ import annotations

from tests.serve_app import house
from tests.serve_app.house import FAST, Ready


async def test_a_ready_graph_is_healthy_and_names_its_models() -> None:
    response = await house.get(house.app(), "/health")
    assert response.status_code == 200
    assert response.json()["status"] == "healthy"
    assert FAST in response.json()["models"]


async def test_a_graph_that_is_not_ready_is_unhealthy_and_says_which_deployment() -> None:
    application = house.app(readiness=Ready(Generation="UPDATING", Ingress="HEALTHY"))
    response = await house.get(application, "/health")
    assert response.status_code == 503
    assert response.json()["status"] == "unhealthy"
    assert response.json()["deployments"]["Generation"] == "UPDATING"


async def test_readiness_is_a_503_that_says_what_it_waits_for_and_when_to_come_again() -> None:
    application = house.app(readiness=Ready(Generation="UPDATING", Ingress="HEALTHY"))
    response = await house.get(application, "/health/readiness")
    assert response.status_code == 503
    assert response.json()["error_type"] == "service_unavailable"
    assert response.json()["message"] == "The graph is not ready: Generation is UPDATING."
    assert int(response.headers["retry-after"]) >= 1


async def test_a_ready_graph_passes_readiness() -> None:
    response = await house.get(house.app(), "/health/readiness")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


async def test_a_process_is_alive_although_its_graph_is_not_ready() -> None:
    application = house.app(readiness=Ready(Generation="UNHEALTHY"))
    response = await house.get(application, "/health/liveness")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})
