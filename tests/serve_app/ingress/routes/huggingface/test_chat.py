"""Chats below a model, and what is asked about one."""

from __future__ import annotations

from typing import Any

import pytest

from serve_app.ingress.routes.huggingface.chat import HubChatBody
from tests.serve_app.house import Ready, generated
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.huggingface.hub import ALIAS, MODEL
from tests.serve_app.local_handle import Family

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("model", [None, "dummy", "http://house/models/house/model"])
@pytest.mark.parametrize("name", [MODEL, ALIAS])
async def test_the_path_decides_which_model_answers(model: str | None, name: str) -> None:
    family = Family(generated("Hello"))
    body = {"messages": MESSAGES, "model": model}
    answer = await hub.post(family, "chat", body, f"{name}/v1/chat/completions")
    assert (answer["model"], answer["choices"][0]["message"]["content"]) == (MODEL, "Hello")
    (request,) = family.asked
    assert request.model == MODEL


async def test_errors_below_a_model_are_openais() -> None:
    for name, n, status in (("no/such", 1, 404), (MODEL, 0, 400)):
        body = {"messages": MESSAGES, "n": n}
        response = await hub.refused(Family(), "chat", body, f"{name}/v1/chat/completions")
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("kind", ["json_object", "json"])
def test_a_schema_in_tgis_words_is_openais(kind: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    format_: dict[str, Any] = {"type": kind, "value": schema}
    body = HubChatBody.model_validate({"messages": MESSAGES, "response_format": format_})
    openai = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    same = HubChatBody.model_validate({"messages": MESSAGES, "response_format": openai})
    assert body == same


@pytest.mark.parametrize("kind", [[], {}, None, 7])
async def test_a_format_whose_type_is_no_text_is_refused(kind: Any) -> None:
    body = {"messages": MESSAGES, "response_format": {"type": kind, "value": {}}}
    response = await hub.refused(Family(), "chat", body, f"{MODEL}/v1/chat/completions")
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("response_format")


async def test_its_numbers_are_kept_to_the_last_digit() -> None:
    schema = '{"const":0.1234567890123456789}'
    given = f'{{"type": "json_object", "value": {schema}}}'
    body = f'{{"messages": [{{"role": "user", "content": "x"}}], "response_format": {given}}}'
    family = Family(generated("Hello"))
    async with hub.client(family, "chat") as client:
        headers = {"content-type": "application/json"}
        path = f"{MODEL}/v1/chat/completions"
        response = await client.post(path, content=body, headers=headers)
    assert response.status_code == 200, response.text
    assert family.asked[0].grammar.source == schema


async def test_health_of_a_model_is_that_of_its_deployment() -> None:
    async with hub.client(Family(), "embed") as client:
        assert (await client.get(f"{ALIAS}/health")).json() == {"status": "ready", "model": MODEL}
        assert (await client.get("no/such/health")).status_code == 404
    for word, status in (("HEALTHY", 200), ("DEPLOYING", 503)):
        readiness = Ready(Only=word, Other="DEPLOYING")
        async with hub.client(Family(), "embed", readiness=readiness) as client:
            assert (await client.get(f"{MODEL}/health")).status_code == status


async def test_what_a_model_is() -> None:
    async with hub.client(Family(), "generate", "chat", "summarize") as client:
        info = (await client.get(f"{MODEL}/info")).json()
    assert info["model_id"] == MODEL
    assert info["model_pipeline_tag"] == "text-generation"
    assert info["tasks"] == ["text-generation", "summarization"]
    assert info["max_total_tokens"] == hub.WINDOW
