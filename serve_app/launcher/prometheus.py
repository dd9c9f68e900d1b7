"""Runs Prometheus beside a start: it scrapes the service, HAProxy and Ray, and evaluates alerts."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serve_app.observability.alerts import JOB
from serve_app.observability.files import alert_rules

HOST = "RAY_PROMETHEUS_HOST"
"""The variable by which Ray's dashboard finds Prometheus."""
API_KEY = "PRSM_API_KEY"
LOG = "prometheus.log"
INTERVAL = "5s"
KEPT = "15d"
RAY_TARGETS = "r/prom_metrics_service_discovery.json"
"""Where Ray writes the addresses of its agents, below the run directory."""


class PrometheusError(Exception):
    """Prometheus cannot be started; the message is one line for the user."""


@dataclass(frozen=True)
class Targets:
    """What is scraped. ``url`` is the service's; Ray's agents are found by their file."""

    url: str
    haproxy_port: int


def require_prometheus() -> str:
    """The program. Raises `PrometheusError` where it is not installed."""
    found = shutil.which("prometheus")
    if found is None:
        raise PrometheusError("--observe needs Prometheus, and there is no program `prometheus`")
    return found


def start_prometheus(
    directory: Path, port: int, targets: Targets, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start it on loopback, with its data and configuration below the run's ``directory``.

    It inherits the run's marker with ``environment``, so it ends with the rest. The caller's API
    key is handed on, since ``/metrics`` may need one. Raises `PrometheusError`.
    """
    program = require_prometheus()
    home = directory / "prometheus"
    home.mkdir(mode=0o700)
    (home / "alerts.yml").write_text(alert_rules(), encoding="utf-8")
    config = home / "prometheus.yml"
    key = environment.get(API_KEY)
    if key:
        _write_private(home / "key", key)
    config.write_text(yaml.safe_dump(configuration(directory, targets, with_key=bool(key))))
    with (directory / LOG).open("wb") as log:
        return subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={home / 'data'}",
                f"--storage.tsdb.retention.time={KEPT}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C goes to the launcher, which ends things in order
        )


def configuration(directory: Path, targets: Targets, *, with_key: bool) -> dict[str, Any]:
    """What Prometheus reads from its file."""
    address = targets.url.removeprefix("http://")
    service: dict[str, Any] = {"job_name": JOB, "static_configs": [{"targets": [address]}]}
    if with_key:
        service["authorization"] = {"credentials_file": "key"}
    found = str(directory / RAY_TARGETS)
    haproxy = f"127.0.0.1:{targets.haproxy_port}"
    return {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            service,
            {"job_name": "haproxy", "static_configs": [{"targets": [haproxy]}]},
            {"job_name": "ray", "file_sd_configs": [{"files": [found], "refresh_interval": "10s"}]},
        ],
    }


def _write_private(path: Path, content: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
