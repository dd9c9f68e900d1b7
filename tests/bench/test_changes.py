"""What the bench of changes counts and waits for."""

from __future__ import annotations

from typing import Any

import pytest

from bench.changes import Outcome, complete
from bench.changes_seen import FrontErrors, replicas
from serve_app.load.figures import RequestSample

LINE = 'haproxy_frontend_http_responses_total{{proxy="{}",code="{}"}} {}\n'


def exposition(errors: int) -> str:
    """HAProxy's metrics; the other frontend and the other codes do not count."""
    return (
        LINE.format("prometheus", "5xx", 9)
        + LINE.format("http_frontend", "4xx", 7)
        + LINE.format("http_frontend", "5xx", errors)
    )


def test_errors_before_a_reload_are_added_to_those_after_it() -> None:
    front = FrontErrors("http://127.0.0.1:1/metrics")
    for errors in (2, 5, 0, 1):
        front.add(exposition(errors))
    assert front.seen == 6


async def test_a_front_that_is_away_keeps_what_was_seen(unused_tcp_port: int) -> None:
    front = FrontErrors(f"http://127.0.0.1:{unused_tcp_port}/metrics")
    front.add(exposition(3))
    assert await front.total() == 3


def details(*states: str, wanted: int = 1, status: str = "RUNNING") -> dict[str, Any]:
    """Serve's status of a graph of one deployment with replicas in ``states``."""
    found = [{"replica_id": f"r{index}", "state": state} for index, state in enumerate(states)]
    deployment = {"status": "HEALTHY", "target_num_replicas": wanted, "replicas": found}
    return {"applications": {"prsm": {"status": status, "deployments": {"Embeddings": deployment}}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (details("RUNNING"), True),
        (details("RUNNING", "STOPPING"), False),
        (details("RUNNING", "STARTING"), False),
        (details("RUNNING", wanted=2), False),
        (details("RUNNING", status="DEPLOYING"), False),
        (details(wanted=0), True),
    ],
)
def test_a_change_is_complete_when_just_the_wanted_replicas_run(
    given: dict[str, Any], expected: bool
) -> None:
    assert complete(given) is expected


def test_a_row_names_the_deployments_of_which_a_replica_is_gone() -> None:
    assert replicas(details("RUNNING", "RUNNING")) == {"Embeddings": {"r0", "r1"}}
    samples = [RequestSample(0, 1), RequestSample(0, 3, error="HTTP 503")]
    before = {"Embeddings": frozenset({"a"}), "Ingress": frozenset({"b"})}
    after = {"Embeddings": frozenset({"a", "c"}), "Ingress": frozenset({"d"})}
    row = Outcome("ingress", 12.4, samples, before, after, 1).row()
    assert row[:6] == ["ingress", "12", "2", "**1**", "1", "Ingress"]
    assert row[6].endswith("/ 3000")
