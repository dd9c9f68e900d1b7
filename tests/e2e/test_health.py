"""Health, the model list, the documentation: what operators and clients look at first."""

from __future__ import annotations

import httpx

NATIVE = "/api/v1/huggingface"


def test_health_names_every_deployment(client: httpx.Client) -> None:
    body = client.get("/health").json()
    assert body["status"] == "healthy"
    assert set(body["deployments"]) == {
        "Ingress",
        "Ledger",
        "Generation",
        "Embeddings",
        "Classification",
        "Reranking",
        "Entities",
    }
    assert client.get("/health/liveness").json() == {"status": "alive"}
    assert client.get("/health/readiness").json()["status"] == "ready"


def test_models_tell_what_their_engines_can_do(client: httpx.Client) -> None:
    models = {model["name"]: model for model in client.get(f"{NATIVE}/models").json()["models"]}
    fast = models["HuggingFaceTB/SmolLM2-135M-Instruct"]
    full = models["HuggingFaceTB/SmolLM2-135M-Instruct-torch"]
    assert fast["engine"] == "openvino"
    assert fast["pinned"]
    assert set(fast["unsupported"]) - set(full["unsupported"]) >= {"logit_bias", "top_logprobs"}
    assert fast["limits"]["window"] == 8192


BARE = {
    "/",
    "/health",
    "/health/liveness",
    "/health/readiness",
    "/metrics",
    f"{NATIVE}/generate/stream",
}
"""Routes whose answer is for people, or a stream."""


def test_every_route_is_documented_with_an_example(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            answer = operation["responses"]["200"]["content"]
            assert path in BARE or answer.get("application/json", {}).get("schema"), path
            if method == "post":
                content = operation["requestBody"]["content"]["application/json"]
                name = content["schema"]["$ref"].rpartition("/")[2]
                assert schemas[name]["example"], path
            assert "422" not in operation["responses"], "what is invalid gets a 400"
    assert client.get("/docs").status_code == 200


def test_the_root_leads_on(client: httpx.Client) -> None:
    assert client.get("/").json()["docs"] == "/docs"


def test_every_example_of_the_documentation_works(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    tried = 0
    for path, operations in document["paths"].items():
        if "post" not in operations:
            continue
        content = operations["post"]["requestBody"]["content"]["application/json"]
        name = content["schema"]["$ref"].rpartition("/")[2]
        response = client.post(path, json=schemas[name]["example"])
        assert response.status_code == 200, (path, response.text)
        tried += 1
    assert tried >= 9
