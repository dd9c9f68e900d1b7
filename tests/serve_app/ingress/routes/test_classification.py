"""Sentiment: one answer for one text, a bare list for a list, and a bad text alone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from deployments.seam.classification import ClassificationRequest, ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.local_handle import Family

GOOD = (LabelScore("POSITIVE", 0.9), LabelScore("NEGATIVE", 0.1))
BAD = (LabelScore("NEGATIVE", 0.8), LabelScore("POSITIVE", 0.2))
LONG = Problem("validation", "the text has 99 tokens")


async def posted(family: Family, **body: Any) -> httpx.Response:
    application = house.app({"classification": family})
    return await house.post(application, f"{NATIVE}/classify", body)


async def test_one_text_has_its_best_label() -> None:
    body = (await posted(Family(ClassificationResult((GOOD,))), texts="fine")).json()
    assert (body["text"], body["sentiment"], body["confidence"]) == ("fine", "POSITIVE", 0.9)
    assert {"model", "request_id", "execution_time"} <= set(body)


async def test_a_list_is_a_bare_list_with_the_rest_in_headers() -> None:
    response = await posted(Family(ClassificationResult((GOOD, BAD))), texts=["fine", "awful"])
    assert [item["sentiment"] for item in response.json()] == ["POSITIVE", "NEGATIVE"]
    assert response.headers["x-model"] == "house/mood"
    assert float(response.headers["x-execution-time"]) >= 0
    assert response.headers["x-request-id"]


async def test_a_bad_text_fails_alone_and_never_reaches_the_model() -> None:
    family = Family(ClassificationResult((GOOD, LONG)))
    items = (await posted(family, texts=["fine", " ", "too long"])).json()
    assert family.asked == [ClassificationRequest("house/mood", ("fine", "too long"))]
    assert items[0]["sentiment"] == "POSITIVE"
    assert items[1]["error"]["message"] == "the text is empty"
    assert items[2]["error"]["message"] == LONG.message


async def test_texts_that_are_all_bad_ask_no_model() -> None:
    items = (await posted(Family(), texts=["", " "])).json()
    assert [set(item) for item in items] == [{"error"}, {"error"}]


@pytest.mark.parametrize(
    ("text", "answer"), [("too long", ClassificationResult((LONG,))), (" ", None)]
)
async def test_a_bad_text_by_itself_is_a_400_that_names_the_field(text: str, answer: Any) -> None:
    response = await posted(Family(answer), texts=text)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == ["texts"]


async def test_truncation_is_asked_for_only_when_the_request_does() -> None:
    family = Family(ClassificationResult((GOOD,)))
    await posted(family, texts="fine", truncate=True)
    assert family.asked == [ClassificationRequest("house/mood", ("fine",), truncate=True)]
