"""The parts of a request, from its timeline."""

from __future__ import annotations

import pytest

from bench.server_timing import disjoint_parts

HEADER = (
    'total;dur=52.00;start=0.00, call;dur=49.00;start=2.81;call=1;desc="a;dur=7.0, model", '
    "tokenize;dur=1.00;start=13.08;call=1;items=2;requests=1, "
    "queue;dur=10.00;start=14.04;call=1, forward;dur=29.00;start=14.20;call=1;items=2;requests=1"
)


def test_the_parts_of_a_request_add_up_to_its_latency() -> None:
    parts = disjoint_parts(HEADER, 0.06)
    assert parts == pytest.approx(
        {
            "http": 0.008,
            "ingress": 0.003,
            "way": 0.009,
            "tokenize": 0.001,
            "queue": 0.010,
            "forward": 0.029,
        }
    )
    assert sum(parts.values()) == pytest.approx(0.06)


def test_without_a_timeline_all_is_http() -> None:
    assert disjoint_parts("", 0.06) == {"http": 0.06, "ingress": 0.0, "way": 0.0}
