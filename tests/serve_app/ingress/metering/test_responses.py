"""Every answer is counted once, by its route's template and the class of its status."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from tests.serve_app import house
from tests.serve_app.house import FAST, NATIVE, generated
from tests.serve_app.local_handle import Family


async def responses(application: FastAPI) -> dict[tuple[str, str], float]:
    text = (await house.get(application, "/metrics")).text
    return {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "prsm_huggingface_http_responses_total"
    }


async def test_answers_are_counted_by_template_and_class() -> None:
    application = house.app({"generation": Family(generated("there"))})
    await house.post(application, f"{NATIVE}/generate", {"prompt": "Hi"})
    await house.post(application, f"{NATIVE}/generate", {"prompt": ""})
    await house.get(application, f"/v1/models/{FAST}")
    await house.get(application, "/v1/models/no/such")
    await house.get(application, "/nothing/here")
    await house.get(application, f"{NATIVE}/generate")
    assert await responses(application) == {
        (f"{NATIVE}/generate", "2xx"): 1,
        (f"{NATIVE}/generate", "4xx"): 1,
        ("/v1/models/{model_id}", "2xx"): 1,
        ("/v1/models/{model_id}", "4xx"): 1,
        ("none", "4xx"): 2,
    }


async def test_what_the_front_refuses_is_counted_too() -> None:
    application = house.app(max_body_bytes=10)
    answer = await house.post(application, f"{NATIVE}/generate", {"prompt": "Hello there"})
    assert answer.status_code == 413
    assert await responses(application) == {(f"{NATIVE}/generate", "4xx"): 1}
