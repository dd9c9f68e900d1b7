"""The context of a request: its key's name, weight and share travel with its calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from deployments.seam.call_context import CallContext
from deployments.seam.classification import ClassificationResult, LabelScore
from tests.serve_app.house import app, post
from tests.serve_app.ingress.front.fronting import NATIVE, asked, fronted, keys_in
from tests.serve_app.local_handle import Family

FAIRNESS_ID = "x-llm-d-inference-fairness-id"


async def context_of_a_request(family: Family, headers: dict[str, str], **settings: Any) -> None:
    house = app({"classification": family}, **settings)
    answer = await post(house, f"{NATIVE}/classify", {"texts": "a good day"}, **headers)
    assert answer.status_code == 200


def answering() -> Family:
    return Family(ClassificationResult(((LabelScore("positive", 0.75),),)))


async def test_calls_carry_the_name_of_the_key_and_the_share_that_the_client_chose(
    tmp_path: Path,
) -> None:
    family, keys = answering(), keys_in(tmp_path, "shop=secret")
    headers = {"authorization": "Bearer secret", FAIRNESS_ID: "web"}
    await context_of_a_request(family, headers, api_keys_file=str(keys))
    (context,) = family.contexts
    assert context[:3] == ("shop", "web", 1.0)
    assert 0 < context.seconds_left <= 300.0


async def test_without_keys_all_requests_have_one_tenant() -> None:
    family = answering()
    await context_of_a_request(family, {"authorization": "Bearer anything"})
    assert family.contexts[0][:3] == CallContext()[:3]


@pytest.mark.parametrize("given", ["x" * 65, "two words", b"caf\xe9"])
async def test_a_fairness_id_that_cannot_be_used_is_refused(given: str | bytes) -> None:
    response = await asked(fronted(), NATIVE, headers=[(FAIRNESS_ID, given)])
    assert response.status_code == 400
    fields = response.json()["details"]["field_errors"]
    expected = "expected at most 64 printable characters without spaces"
    assert fields == {FAIRNESS_ID: f"{FAIRNESS_ID}: {expected}"}


async def test_the_longest_fairness_id_is_passed_on() -> None:
    """Behind a proxy of Serve the front of the replica reads it again."""
    response = await asked(fronted(), "/", headers=[(FAIRNESS_ID, "x" * 64)])
    assert response.json()["headers"][FAIRNESS_ID] == "x" * 64


@pytest.mark.parametrize(
    ("sampled", "expected"), [(True, f"00-{'0' * 30}ab-{'0' * 14}cd-01"), (False, "")]
)
async def test_calls_of_a_sampled_request_name_its_span(sampled: bool, expected: str) -> None:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    family = answering()
    with trace.use_span(NonRecordingSpan(SpanContext(0xAB, 0xCD, False, flags))):
        await context_of_a_request(family, {})
    assert family.contexts[0].traceparent == expected


async def test_calls_name_no_span_where_nothing_is_traced() -> None:
    family = answering()
    await context_of_a_request(family, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert family.contexts[0].traceparent == ""
