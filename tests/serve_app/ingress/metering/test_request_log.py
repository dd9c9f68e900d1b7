"""Each inference request leaves one line with its id, model, tokens and times, and no text."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from ray._common.formatters import JSONFormatter

from tests.serve_app import house
from tests.serve_app.house import FAST, NATIVE, burst, generated
from tests.serve_app.local_handle import Family

PROMPT = {"prompt": "a secret question"}


class Lines(logging.Handler):
    """Formats records as Serve does where a replica's logs are JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JSONFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    logger, handler = logging.getLogger("ray.serve"), Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def logging_app(*answers: Any, **settings: Any) -> FastAPI:
    return house.app({"generation": Family(*answers)}, log_requests=True, **settings)


async def test_an_answer_is_one_line_of_json(lines: list[dict[str, Any]]) -> None:
    application = logging_app(generated("an answer"))
    await house.post(application, f"{NATIVE}/generate", PROMPT, **{"x-request-id": "abc"})
    (line,) = lines
    assert line["request_id"] == "abc"
    assert line["http_route"] == f"{NATIVE}/generate"
    assert (line["http_status"], line["ended"]) == (200, "success")
    assert (line["model"], line["task"]) == (FAST, "generate")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (3, 2)
    assert 0 <= line["inference_s"] <= line["duration_s"]
    assert line["first_token_s"] is None
    assert "prompt_tokens=3" in line["message"]
    assert "secret" not in json.dumps(line)
    assert "an answer" not in json.dumps(line)


async def test_a_stream_tells_when_its_first_token_came(lines: list[dict[str, Any]]) -> None:
    application = logging_app([burst("a"), burst("b", at=1, finish="stop")])
    await house.post(application, f"{NATIVE}/generate/stream", PROMPT)
    (line,) = lines
    assert 0 <= line["first_token_s"] <= line["duration_s"]
    assert line["completion_tokens"] == 2


async def test_what_is_refused_is_logged_with_its_reason(lines: list[dict[str, Any]]) -> None:
    application = logging_app(max_body_bytes=20)
    await house.post(application, f"{NATIVE}/generate", {"prompt": 7})
    await house.post(application, f"{NATIVE}/generate", {"prompt": "b" * 20})
    assert [line["ended"] for line in lines] == ["validation_error", "payload_too_large"]
    assert lines[0]["http_status"] == 400


async def test_nothing_is_logged_unless_it_is_asked_for(lines: list[dict[str, Any]]) -> None:
    application = house.app({"generation": Family(generated("an answer"))})
    await house.post(application, f"{NATIVE}/generate", PROMPT)
    await house.get(logging_app(), "/health")
    assert lines == []
