"""How rates, latencies and percentiles are computed from samples."""

from __future__ import annotations

import math

from serve_app.load.figures import RequestSample, figures, percentile


def test_a_percentile_is_a_measured_value() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert [percentile(hundred, level) for level in (0, 0.5, 0.9, 0.99, 1)] == [1, 50, 90, 99, 100]
    assert percentile([1.0, 2.0, 9.0], 0.99) == 9.0
    assert percentile([7.0], 0.5) == 7.0
    assert math.isnan(percentile([], 0.5))


def test_rates_are_over_the_time_from_the_first_beginning_to_the_last_end() -> None:
    samples = [RequestSample(10.0, 11.0, units=4), RequestSample(10.5, 14.0, units=6)]
    got = figures(samples, clients=2, unit="tokens", cpu_s=1.0)
    assert got.seconds == 4.0
    assert got.requests_per_s == 0.5
    assert got.units_per_s == 2.5
    assert got.client_cpu == 0.25
    assert (got.latency.p50, got.latency.p99) == (1.0, 3.5)


def test_failed_requests_count_in_no_rate_and_no_latency() -> None:
    samples = [
        RequestSample(0.0, 1.0, units=4),
        RequestSample(0.0, 2.0, error="HTTP 503", detail="busy"),
    ]
    got = figures(samples, clients=2, unit="tokens")
    assert (got.succeeded, got.failed, got.units_per_s) == (1, 1, 2.0)
    assert got.latency.p99 == 1.0
    assert got.details == {"HTTP 503": "busy"}


def test_the_time_per_token_is_of_the_tokens_after_the_first() -> None:
    sample = RequestSample(0.0, 3.0, units=11, first_s=1.0, last_s=3.0)
    got = figures(
        [sample, RequestSample(0.0, 1.0, units=1, first_s=1.0, last_s=1.0)], clients=1, unit="t"
    )
    assert got.first.p99 == 1.0
    assert got.per_token.p99 == 0.2


def test_without_samples_rates_are_zero_and_latencies_nan() -> None:
    got = figures([], clients=1, unit="texts")
    assert (got.requests_per_s, got.units_per_s, got.client_cpu) == (0.0, 0.0, 0.0)
    assert math.isnan(got.latency.p50)
