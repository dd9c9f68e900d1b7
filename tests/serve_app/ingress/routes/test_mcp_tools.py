"""Tasks as MCP's tools: what they say of themselves, take and answer."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from mcp_types import CallToolResult

from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.image_generation import ImageGenerationResult
from deployments.seam.problems import Problem
from serve_app.ingress.audio import SILENCE
from serve_app.ingress.routes.native_router import NativeTask
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import embedded, every_task, house
from tests.serve_app.every_task import MODEL, EveryTask
from tests.serve_app.house import FAST, NATIVE
from tests.serve_app.ingress.routes.mcp_calls import ERAS, EveryTool, call, connected, listed, sent
from tests.serve_app.local_handle import Family

OWN = ("model", "request_id", "execution_time")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    made = every_task.application(EveryTool(), hf_cache_dir=tmp_path)
    yield made
    await made.state.conversations.close()


def tasks_of(app: FastAPI) -> dict[str, NativeTask]:
    tasks: dict[str, NativeTask] = app.state.tasks
    return tasks


def example_of(task: NativeTask) -> dict[str, Any]:
    """The one that the documentation shows."""
    found: dict[str, Any] = task.body.model_json_schema()["example"]
    return found


def text_of(result: CallToolResult) -> str:
    content = result.content[0]
    assert content.type == "text"
    return content.text


@pytest.mark.parametrize("era", ERAS)
async def test_every_task_is_a_tool_that_answers_as_its_step_of_a_graph(
    app: FastAPI, era: str
) -> None:
    tasks = tasks_of(app)
    assert len(tasks) > 15
    async with connected(app, era) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == list(tasks)
        for name, task in tasks.items():
            # The client checks what is answered against the tool's schema.
            result = await client.call_tool(name, example_of(task))
            assert not result.is_error, result
            found = result.structured_content
            assert json.loads(text_of(result)) == found
            assert found["model"] == MODEL
            step = {"id": "a", "task": name, "inputs": example_of(task)}
            graph = (await house.post(app, f"{NATIVE}/graph", {"steps": [step]})).json()
            answer = {key: value for key, value in found.items() if key not in OWN}
            field, _, key = (task.images or "").partition(".")
            for at, each in enumerate(answer.get(field, [])):
                file = _file(result, each[key] if key else each)
                answer[field][at] = {**each, key: file} if key else file
            assert len(result.content) == 1 + len(answer.get(field, []))
            assert answer.get("result", answer) == graph["outputs"]["a"]


def _file(result: CallToolResult, place: dict[str, int]) -> str:
    """The file of an image, in base64, which is nowhere in the text."""
    content = result.content[place["content"]]
    assert content.type == "image"
    assert content.mime_type == "image/png"
    assert content.data not in text_of(result)
    return content.data


async def test_an_image_that_failed_says_why_between_those_that_were_made(tmp_path: Path) -> None:
    failed = Problem("validation", "not this one", "prompt")

    class Mixed(EveryTask):
        async def generate_images(self, request: Any) -> ImageGenerationResult:
            return ImageGenerationResult((b"one", failed, b"three"), 64, 64, 5)

    made = every_task.application(Mixed(), hf_cache_dir=tmp_path)
    async with connected(made) as client:
        result = await client.call_tool("generate_image", {"prompt": "a", "n": 3})
    await made.state.conversations.close()
    first, second, third = result.structured_content["images"]
    assert second["error"]["message"] == "not this one"
    files = [base64.b64decode(_file(result, place)) for place in (first, third)]
    assert files == [b"one", b"three"]
    assert result.structured_content["size"] == "64x64"


async def test_a_tool_that_draws_a_seed_is_not_idempotent(app: FastAPI) -> None:
    hints = {name: tool.annotations for name, tool in (await listed(app)).items()}
    random = {name for name, hint in hints.items() if hint and not hint.idempotent_hint}
    assert random == {"generate", "generate_image"}


async def test_one_text_is_answered_by_an_object_and_a_list_by_a_list(app: FastAPI) -> None:
    async with connected(app) as client:
        one = await client.call_tool("classify", {"texts": "a"})
        several = await client.call_tool("classify", {"texts": ["a", " "]})
    assert one.structured_content["sentiment"] == "a"
    first, second = several.structured_content["result"]
    assert (first["text"], second["error"]["error_type"]) == ("a", "validation_error")


async def test_a_tool_says_what_it_does_and_takes_and_by_which_models(app: FastAPI) -> None:
    tools = await listed(app)
    tool = tools["classify"]
    assert tool.title == "Sentiment of texts, or labels of your own"
    assert "In a list a bad text fails alone." in (tool.description or "")
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint
    fields = tool.input_schema["properties"]
    assert set(fields) == {"texts", "model_name", "truncate", "labels", "multi_label"}
    assert fields["model_name"]["description"].startswith(f"one of: {MODEL};")
    assert tool.input_schema["required"] == ["texts"]
    assert "stream" not in tools["generate"].input_schema["properties"]


async def test_schemas_are_such_as_language_models_take(app: FastAPI) -> None:
    for tool in (await listed(app)).values():
        for schema in (tool.input_schema, tool.output_schema):
            assert schema is not None, tool.name
            assert schema["type"] == "object", tool.name
        assert not {"allOf", "anyOf", "oneOf", "not"} & set(tool.input_schema), tool.name


async def test_a_task_without_a_model_is_not_listed_and_says_so_when_it_is_called(
    tmp_path: Path,
) -> None:
    async with embedded.application(tmp_path) as app:
        assert set(tasks_of(app)) - set(await listed(app)) >= {"fill_mask", "translate"}
        result = await call(app, "fill_mask", texts="a [MASK]")
    assert result["isError"]
    assert "No model is configured for fill_mask" in result["content"][0]["text"]


async def test_files_come_as_base64_or_as_mcps_content(app: FastAPI) -> None:
    data = RED_DOT.partition(",")[2]
    for image in (data, RED_DOT, {"type": "image", "data": data, "mimeType": "image/png"}):
        assert (await call(app, "caption", image=image))["structuredContent"]["caption"] == "a dot"
    for audio in (SILENCE, {"type": "audio", "data": SILENCE, "mimeType": "audio/wav"}):
        answer = await call(app, "transcribe", audio=audio)
        assert answer["structuredContent"]["language"] == "en"


async def test_wrong_arguments_are_named_in_a_result_that_a_model_can_read(app: FastAPI) -> None:
    result = await call(app, "classify", texts=7, label=["a"])
    assert result["isError"]
    (content,) = result["content"]
    assert content["text"] == "texts: expected a string; label: this field is not known here"
    assert result["_meta"]["error_type"] == "validation_error"
    assert "structuredContent" not in result
    nothing = await sent(app, "tools/call", name="classify")
    assert nothing["result"]["content"][0]["text"] == "texts: this field is required"


@pytest.mark.parametrize(
    ("problem", "error_type", "text"),
    [
        (Problem("overloaded", "the queue is full"), "rate_limit_error", "Try again in 5 s."),
        (Problem("unavailable", "loading"), "service_unavailable", "Try again in 5 s."),
        (Problem("timeout", "too slow"), "timeout", "too slow"),
        (Problem("validation", "too long", "texts"), "validation_error", "texts: too long"),
        (ValueError("a secret of the inside"), "internal_error", "could not answer"),
    ],
)
async def test_what_goes_wrong_in_a_task_is_a_result_that_says_so(
    problem: Any, error_type: str, text: str
) -> None:
    app = house.app({"embeddings": Family(problem)})
    result = await call(app, "embeddings", texts="a")
    assert result["isError"]
    assert result["_meta"]["error_type"] == error_type
    assert text in result["content"][0]["text"]
    assert "secret" not in json.dumps(result)


async def test_a_model_that_is_not_there_is_a_result_that_lists_those_that_are() -> None:
    result = await call(house.app(), "generate", prompt="a", model_name="no/such")
    assert result["isError"]
    assert FAST in result["content"][0]["text"]


async def test_an_answer_too_large_for_a_tool_is_refused() -> None:
    vectors = EmbeddingResult(np.ones((3, 40_000), np.float32), (1, 1, 1))
    app = house.app({"embeddings": Family(vectors)})
    result = await call(app, "embeddings", texts=["a", "b", "c"])
    assert result["_meta"]["error_type"] == "payload_too_large"
