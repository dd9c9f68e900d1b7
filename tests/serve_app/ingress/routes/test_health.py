"""Health, as load balancers and people ask for it."""

from __future__ import annotations

from pathlib import Path

from deployments.seam.replicas import FailedModel, ModelStatus, ReplicaReport
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE, Ready
from tests.serve_app.local_handle import Family


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


async def test_a_family_that_cannot_start_leaves_the_graph_degraded_and_says_why() -> None:
    words = {"Ingress": "HEALTHY", "Generation": "DEPLOY_FAILED", "Embeddings": "HEALTHY"}
    ready = Ready({"Generation": "Its files are missing."}, **words, Classification="HEALTHY")
    application = house.app(readiness=ready)
    response = await house.get(application, "/health")
    body = response.json()
    assert (response.status_code, body["status"]) == (200, "degraded")
    assert body["families"]["generation"]["status"] == "failed"
    assert body["families"]["generation"]["reason"] == "Its files are missing."
    assert body["families"]["embeddings"]["status"] == "ready"
    assert (await house.get(application, "/health/readiness")).status_code == 200
    of_a_model = await house.get(application, f"/models/{FAST}/health")
    assert of_a_model.status_code == 503
    assert "Its files are missing." in of_a_model.text
    assert (await house.get(application, "/models/house/vectors/health")).status_code == 200


class Reporting(Family):
    """A family whose replica has one model, and could not load the other."""

    async def loaded_models(self, request: None) -> ReplicaReport:
        failed = (FailedModel(FULL, "there is not enough memory for it", 2),)
        return ReplicaReport("one", "here", (ModelStatus(FAST, "warm"),), failed=failed)


async def test_a_model_that_failed_is_named_with_its_reason() -> None:
    application = house.app({"generation": Reporting()})
    body = (await house.get(application, "/health")).json()
    assert body["status"] == "degraded"
    fast, full = body["families"]["generation"]["models"]
    assert fast == {"name": FAST, "status": "loaded"}
    reason = "there is not enough memory for it."
    assert full == {"name": FULL, "status": "failed", "reason": reason}
    assert body["families"]["embeddings"]["models"][0]["status"] == "not loaded"


async def test_a_store_of_conversations_that_failed_is_told_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "occupied").write_text("a file where a folder should be")
    url = f"sqlite:///{tmp_path}/occupied/conversations.sqlite3"
    application = house.app(conversations_url=url)
    assert (await house.get(application, "/health")).json()["status"] == "healthy"
    refused = await house.get(application, f"{NATIVE}/conversations/ada")
    assert (refused.status_code, refused.json()["error_type"]) == (503, "service_unavailable")
    body = (await house.get(application, "/health")).json()
    assert body["status"] == "degraded"
    assert body["conversations"]["status"] == "failed"
    assert body["conversations"]["reason"] == refused.json()["message"]
    assert (await house.get(application, "/health/readiness")).status_code == 200
