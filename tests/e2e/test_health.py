"""Health, the model list and the documentation."""

from __future__ import annotations

import httpx

from tests.e2e.examples import documented_posts, examples_of

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
        "Vision",
        "Captioning",
        "Summarization",
        "Transcription",
        "ImageGeneration",
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
    "/models/{model_id}",
    "/models/{model_id}/health",
    "/generate_stream",
    "/models/{model_id}/generate_stream",
    "/models/{model_id}/info",
    "/models/{model_id}/pipeline/{task}",
    f"{NATIVE}/generate/stream",
}
"""Routes whose answer is for people, is a stream, or has a shape that depends on the model."""

PLACES = {
    "model_id": "SmolLM2-135M-Instruct",
    "model_name": "SmolLM2-135M-Instruct",
    "task": "text-generation",
    "user_id": "a-reader-of-the-documentation",
}
"""Values for the parameters of paths."""

MODELS = {
    "/models/{model_id}/v1/embeddings": "all-MiniLM-L6-v2",
    "/models/{model_id}/v1/rerank": "ms-marco-MiniLM-L12-v2",
    "/models/{model_id}/embed": "all-MiniLM-L6-v2",
    "/models/{model_id}/similarity": "all-MiniLM-L6-v2",
    "/models/{model_id}/rerank": "ms-marco-MiniLM-L12-v2",
    "/models/{model_id}/predict": "sentiment-bge-small-en",
}
"""Models for routes below a model that generate no text."""

WITHOUT_MODEL = {
    f"{NATIVE}/{path}"
    for path in (
        *("fill-mask", "question-answering", "translate", "text2text"),
        *("vision/zero-shot", "vision/segment"),
    )
}
"""Routes of tasks for which the embedded profile has no model."""

ENGLISH_ONLY = {"/v1/audio/translations"}
"""Routes that the embedded profile's model of speech refuses."""


def test_every_route_is_documented_with_an_example(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            done = operation["responses"]
            answer = done["200"]["content"] if "204" not in done else {}
            shown = answer.get("application/json", {}).get("schema")
            assert path in BARE or "204" in done or shown, path
            if method == "post":
                assert examples_of(operation, schemas), path
            assert "422" not in operation["responses"], "what is invalid gets a 400"
    assert client.get("/docs").status_code == 200


def test_the_root_names_the_documentation(client: httpx.Client) -> None:
    assert client.get("/").json()["docs"] == "/docs"


def test_every_example_of_the_documentation_works(client: httpx.Client) -> None:
    tried = 0
    for path, example in documented_posts(client):
        places = PLACES | ({"model_id": MODELS[path]} if path in MODELS else {})
        response = client.post(path.format(**places), json=example)
        if path in WITHOUT_MODEL:
            assert response.status_code == 400, (path, response.text)
            assert "No model is configured" in response.text
        elif path in ENGLISH_ONLY:
            assert response.status_code == 400, (path, response.text)
            assert "knows English only" in response.text
        else:
            taken = 202 if path == "/mcp" and "id" not in example else 200
            assert response.status_code == taken, (path, response.text)
        tried += 1
    assert tried >= 50
