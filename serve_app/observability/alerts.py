"""Prometheus' alert rules over our signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from deployments.metrics import signals
from serve_app.observability import promql
from serve_app.observability.promql import name

JOB = "prsm"
"""The scrape job of ``GET /metrics``."""

WINDOW = "5m"
OVERLOADED = 'reason=~"rate_limit_error|service_unavailable|timeout"'


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule: ``expr`` held for ``lasting``."""

    title: str
    expr: str
    lasting: str
    severity: Literal["critical", "warning"]
    summary: str

    def rule(self) -> dict[str, Any]:
        return {
            "alert": self.title,
            "expr": self.expr,
            "for": self.lasting,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary},
        }


FAILED = promql.per_second(signals.HTTP_RESPONSES, where='status="5xx"', window=WINDOW)
ANSWERED = promql.per_second(signals.HTTP_RESPONSES, window=WINDOW)
STORE_FAILED = promql.per_second(
    signals.HTTP_RESPONSES, where='status="5xx",route=~".*/conversations.*"', window=WINDOW
)
REFUSED = promql.per_second(signals.REJECTIONS, "task", OVERLOADED, window=WINDOW)
REQUESTED = promql.per_second(signals.REQUESTS, "task", window=WINDOW)
FIRST_TOKEN = promql.quantile(0.95, signals.FIRST_TOKEN, "model_name", window=WINDOW)
QUEUE_WAIT = promql.quantile(0.95, signals.QUEUE_WAIT, "model_name", window=WINDOW)

ALERTS = (
    Alert(
        "PrsmServeDown",
        f'up{{job="{JOB}"}} == 0 or absent(up{{job="{JOB}"}})',
        "2m",
        "critical",
        "The service, or its ledger, does not answer /metrics.",
    ),
    Alert(
        "PrsmServeFailures",
        f"{FAILED} / {ANSWERED} > 0.05",
        "5m",
        "critical",
        "{{ $value | humanizePercentage }} of all HTTP answers are 5xx.",
    ),
    Alert(
        "PrsmServeOverloaded",
        f"{REFUSED} / {REQUESTED} > 0.05",
        "5m",
        "warning",
        "{{ $value | humanizePercentage }} of the requests for {{ $labels.task }} are refused, or "
        "too late.",
    ),
    Alert(
        "PrsmServeReplicasMissing",
        f"{name(signals.REPLICAS_RUNNING)} < {name(signals.REPLICAS_WANTED)}",
        "10m",
        "warning",
        "{{ $labels.deployment }} has only {{ $value }} of the replicas that Serve wants.",
    ),
    Alert(
        "PrsmServeFamilyFailed",
        f"{name(signals.DEPLOYMENT_FAILED)} > 0",
        "2m",
        "critical",
        "Serve calls {{ $labels.deployment }} unhealthy, or cannot start it; /health says why.",
    ),
    Alert(
        "PrsmServeModelFailed",
        f"{name(signals.MODELS_FAILED)} > 0",
        "5m",
        "warning",
        "{{ $labels.model_name }} cannot be loaded on {{ $value }} replicas; /health says why.",
    ),
    Alert(
        "PrsmServeConversationsFail",
        f"{STORE_FAILED} > 0",
        "5m",
        "critical",
        "Conversations are answered by 5xx: their database is full or away; /health says which.",
    ),
    Alert(
        "PrsmServeSlowFirstToken",
        f"{FIRST_TOKEN} > 10",
        "10m",
        "warning",
        "1 in 20 streams of {{ $labels.model_name }} waits {{ $value | humanizeDuration }} or more "
        "for its first token.",
    ),
    Alert(
        "PrsmServeLongQueue",
        f"{QUEUE_WAIT} > 30",
        "10m",
        "warning",
        "1 in 20 requests waits {{ $value | humanizeDuration }} or more for "
        "{{ $labels.model_name }}.",
    ),
    Alert(
        "PrsmServeKvCacheFull",
        f"{name(signals.KV_USAGE)} > 0.95",
        "10m",
        "warning",
        "The KV cache of {{ $labels.model_name }} is full: texts are preempted and computed anew.",
    ),
    Alert(
        "PrsmServeModelNotLoaded",
        promql.risen(signals.LOAD_FAILURES, "15m"),
        "0m",
        "warning",
        "{{ $labels.model_name }} failed to load.",
    ),
    Alert(
        "PrsmServeLimitsRefused",
        f"{name(signals.LIMITS_REFUSED)} > 0",
        "5m",
        "warning",
        "{{ $value }} replicas of {{ $labels.family }} keep their old limits: the user_config is "
        "wrong.",
    ),
    Alert(
        "PrsmServeGpuMemoryFull",
        f"{name(signals.GPU_USED)} / {name(signals.GPU_SIZE)} > 0.97",
        "10m",
        "warning",
        "{{ $value | humanizePercentage }} of the memory of GPU {{ $labels.gpu }} are in use.",
    ),
    Alert(
        "PrsmServeSamplesLost",
        promql.risen(signals.LOST, "15m"),
        "0m",
        "warning",
        "Metrics are incomplete: the ledger was away for long.",
    ),
)


def rules() -> dict[str, Any]:
    """The content of a file of rules."""
    return {"groups": [{"name": "prsm-serve", "rules": [alert.rule() for alert in ALERTS]}]}
