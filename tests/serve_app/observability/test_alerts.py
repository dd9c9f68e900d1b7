"""Alerts fire when they should and not before, as Prometheus' own tool evaluates them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve_app.observability.alerts import ALERTS
from serve_app.observability.files import alert_rules

PREFIX = "prsm_huggingface_"
UP = {'up{job="prsm"}': "1x60"}

FIRING: dict[str, tuple[dict[str, str], str]] = {
    "PrsmServeDown": ({'up{job="prsm"}': "1x10 0x50"}, "20m"),
    "PrsmServeFailures": (
        {
            'http_responses_total{route="/a",status="5xx"}': "0+6x60",
            'http_responses_total{route="/a",status="2xx"}': "0+60x60",
        },
        "20m",
    ),
    "PrsmServeOverloaded": (
        {
            'rejections_total{task="chat",reason="rate_limit_error"}': "0+10x60",
            'requests_total{task="chat",status="success"}': "0+60x60",
        },
        "20m",
    ),
    "PrsmServeReplicasMissing": (
        {
            'replicas_running{deployment="Vision"}': "1x60",
            'replicas_wanted{deployment="Vision"}': "2x60",
        },
        "20m",
    ),
    "PrsmServeFamilyFailed": ({'deployment_failed{deployment="Vision"}': "0x10 1x50"}, "20m"),
    "PrsmServeModelFailed": ({'model_failed{model_name="m"}': "1x60"}, "20m"),
    "PrsmServeConversationsFail": (
        {
            'http_responses_total{route="/api/v1/huggingface/conversations",status="5xx"}': (
                "0+1x60"
            ),
            'http_responses_total{route="/a",status="2xx"}': "0+6000x60",
        },
        "20m",
    ),
    "PrsmServeSlowFirstToken": (
        {
            'time_to_first_token_seconds_bucket{model_name="m",le="10"}': "0+1x60",
            'time_to_first_token_seconds_bucket{model_name="m",le="30"}': "0+9x60",
            'time_to_first_token_seconds_bucket{model_name="m",le="+Inf"}': "0+9x60",
        },
        "30m",
    ),
    "PrsmServeLongQueue": (
        {
            'queue_wait_seconds_bucket{model_name="m",le="30"}': "0+1x60",
            'queue_wait_seconds_bucket{model_name="m",le="60"}': "0+9x60",
            'queue_wait_seconds_bucket{model_name="m",le="+Inf"}': "0+9x60",
        },
        "30m",
    ),
    "PrsmServeKvCacheFull": ({'kv_cache_usage_ratio{model_name="m"}': "0.99x60"}, "20m"),
    "PrsmServeModelNotLoaded": (
        {'model_load_failures_total{model_name="m"}': "_x20 1x40"},
        "25m",
    ),
    "PrsmServeLimitsRefused": ({'live_limits_refused{family="vision"}': "1x60"}, "20m"),
    "PrsmServeGpuMemoryFull": (
        {'gpu_used_bytes{node="n",gpu="g"}': "99x60", 'gpu_size_bytes{node="n",gpu="g"}': "100x60"},
        "20m",
    ),
    "PrsmServeSamplesLost": ({"lost_samples_total": "_x20 7x40"}, "25m"),
}
"""Series for each alert, one value a minute, and when it has to fire."""

QUIET = {
    'http_responses_total{route="/a",status="5xx"}': "0+1x60",
    'http_responses_total{route="/a",status="2xx"}': "0+60x60",
    'rejections_total{task="chat",reason="validation_error"}': "0+60x60",
    'requests_total{task="chat",status="success"}': "0+60x60",
    'replicas_running{deployment="Vision"}': "1x10 2x50",
    'replicas_wanted{deployment="Vision"}': "2x60",
    'deployment_failed{deployment="Vision"}': "0x60",
    'kv_cache_usage_ratio{model_name="m"}': "0.9x60",
    'model_load_failures_total{model_name="m"}': "1x60",
    'live_limits_refused{family="vision"}': "0x60",
    "lost_samples_total": "0x60",
}
"""A service that works: failures of long ago, clients' mistakes, a replica that starts."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is missing"
)


def test_every_alert_is_tried() -> None:
    assert {alert.title for alert in ALERTS} == FIRING.keys()


def case(series: dict[str, str], at: str, *firing: str) -> dict[str, Any]:
    """A test for promtool: these alerts, and no others, have fired at that time."""
    named = {key if key.startswith("up{") else PREFIX + key: each for key, each in series.items()}
    series_list = [{"series": key, "values": each} for key, each in (UP | named).items()]
    expected = [
        {"eval_time": at, "alertname": alert.title} for alert in ALERTS if alert.title not in firing
    ]
    count = f'count(ALERTS{{alertname="{firing[0]}",alertstate="firing"}})' if firing else ""
    fired = [{"expr": count, "eval_time": at, "exp_samples": [{"value": 1}]}] if firing else []
    return {
        "interval": "1m",
        "input_series": series_list,
        "alert_rule_test": expected,
        "promql_expr_test": fired,
    }


@needs_promtool
def test_alerts_fire_for_what_they_say_and_for_nothing_else(tmp_path: Path) -> None:
    tests = [case(series, at, title) for title, (series, at) in FIRING.items()]
    tests += [case(QUIET, "40m"), case({"lost_samples_total": "0x60"}, "5m"), case({}, "40m")]
    (tmp_path / "alerts.yml").write_text(alert_rules())
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": tests}))
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
