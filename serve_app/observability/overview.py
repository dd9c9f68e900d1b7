"""The dashboard of the whole service: load, failures, times, replicas."""

from __future__ import annotations

from deployments.metrics import signals
from serve_app.observability import promql
from serve_app.observability.common_panels import (
    model_memory,
    quantiles,
    queue_depth,
    replicas,
    requests_by,
)
from serve_app.observability.panels import DashboardPage, Panel, Query, Unit

HAPROXY_RESPONSES = "haproxy_frontend_http_responses_total"


def number(title: str, about: str, expr: str, unit: Unit = "short", legend: str = "") -> Panel:
    return Panel(title, about, (Query(expr, legend),), unit, "stat", width=4, height=4)


SUCCESSES = promql.per_second(signals.REQUESTS, where='status="success"')

NUMBERS = (
    number(
        "Requests now", "For inference, a second.", promql.per_second(signals.REQUESTS), "reqps"
    ),
    number(
        "Success rate",
        "Requests with a complete answer; what a client left, or sent wrong, is an error too.",
        f"{SUCCESSES} / {promql.per_second(signals.REQUESTS)}",
        "percentunit",
    ),
    number("Tokens written", "A second, by all models.", promql.per_second(signals.TOKENS_OUT)),
    number("Waiting", "Texts or items in queues.", promql.value(signals.WAITING)),
    number(
        "Replicas missing",
        "Wanted by Serve, and not running yet.",
        f"{promql.value(signals.REPLICAS_WANTED)} - {promql.value(signals.REPLICAS_RUNNING)}",
    ),
    number(
        "Version",
        "Of the service that runs.",
        promql.value(signals.BUILD_INFO, "version"),
        "none",
        "{{version}}",
    ),
)

GRAPHS = (
    requests_by("task, status", "{{task}} {{status}}"),
    quantiles(
        "Time of answered requests",
        "From a request's first call of a model to its last answer.",
        signals.DURATION,
        "task",
    ),
    Panel(
        "Refused requests",
        "Requests that were answered by an error, by its error_type.",
        (Query(promql.per_second(signals.REJECTIONS, "reason"), "{{reason}}"),),
        "reqps",
    ),
    Panel(
        "HTTP answers that failed",
        "By route and class of status; HAProxy's are those that it made because no replica could.",
        (
            Query(
                promql.per_second(signals.HTTP_RESPONSES, "route, status", 'status=~"[45]xx"'),
                "{{route}} {{status}}",
            ),
            Query(
                f'sum by (proxy) (rate({HAPROXY_RESPONSES}{{code="5xx"}}[{promql.RATE}]))',
                "HAProxy {{proxy}} 5xx",
            ),
        ),
        "reqps",
    ),
    Panel(
        "Tokens",
        "Read and written by models.",
        (
            Query(promql.per_second(signals.TOKENS_IN, "model_name"), "{{model_name}} read"),
            Query(promql.per_second(signals.TOKENS_OUT, "model_name"), "{{model_name}} written"),
        ),
        "ops",
    ),
    Panel(
        "Clients that left",
        "Requests whose client left before the end.",
        (
            Query(
                promql.per_second(signals.CANCELLED, "model_name, task"), "{{model_name}} {{task}}"
            ),
        ),
        "reqps",
    ),
    Panel(
        "Requests of keys",
        "Requests for inference by the name of their API key.",
        (Query(promql.per_second(signals.KEY_REQUESTS, "key, status"), "{{key}} {{status}}"),),
        "reqps",
    ),
    Panel(
        "Tokens of keys",
        "Read and written by models for an API key.",
        (
            Query(promql.per_second(signals.KEY_TOKENS_IN, "key"), "{{key}} read"),
            Query(promql.per_second(signals.KEY_TOKENS_OUT, "key"), "{{key}} written"),
        ),
        "ops",
    ),
    queue_depth(),
    replicas(),
    model_memory(),
    Panel(
        "Bytes",
        "Of requests' bodies and of answers.",
        (
            Query(promql.sum_per_second(signals.INPUT_BYTES, "task"), "{{task}} in"),
            Query(promql.sum_per_second(signals.OUTPUT_BYTES, "task"), "{{task}} out"),
        ),
        "bytes",
    ),
)

OVERVIEW = DashboardPage(
    "prsm-overview",
    "prsm-serve: overview",
    "Load, failures, times and replicas of the whole service.",
    (*NUMBERS, *GRAPHS),
)
