"""Prometheus is configured for the service, HAProxy and Ray, and starts only where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from serve_app.launcher import prometheus
from serve_app.launcher.prometheus import (
    PrometheusError,
    Targets,
    configuration,
    require_prometheus,
    start_prometheus,
)

TARGETS = Targets("http://127.0.0.1:8123", 20_001)


def test_without_the_program_there_is_one_line_for_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrometheusError, match="no program `prometheus`"):
        require_prometheus()


def test_the_service_haproxy_and_ray_are_scraped(tmp_path: Path) -> None:
    jobs = configuration(tmp_path, TARGETS, with_key=False)["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["prsm", "haproxy", "ray"]
    assert jobs[0]["static_configs"] == [{"targets": ["127.0.0.1:8123"]}]
    assert jobs[1]["static_configs"] == [{"targets": ["127.0.0.1:20001"]}]
    assert jobs[2]["file_sd_configs"][0]["files"] == [f"{tmp_path}/{prometheus.RAY_TARGETS}"]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program that stands for Prometheus and writes down how it was called."""
    program = tmp_path / "bin" / "prometheus"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/called"\necho "$PRSM_SERVE_RUN"\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "called"


def test_it_listens_on_loopback_with_its_data_in_the_runs_directory(
    recorded: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    environment = {**os.environ, "PRSM_SERVE_RUN": "abc", "PRSM_API_KEY": "secret"}
    assert start_prometheus(run, 20_007, TARGETS, environment).wait() == 0
    called = recorded.read_text()
    assert "--web.listen-address=127.0.0.1:20007" in called
    assert f"--storage.tsdb.path={run}/prometheus/data" in called
    assert "secret" not in called
    assert (run / "prometheus.log").read_text() == "abc\n"
    key = run / "prometheus" / "key"
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("secret", 0o600)
    written = yaml.safe_load((run / "prometheus" / "prometheus.yml").read_text())
    assert written["scrape_configs"][0]["authorization"] == {"credentials_file": "key"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_its_files(recorded: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    start_prometheus(run, 20_007, TARGETS, {**os.environ, "PRSM_API_KEY": "secret"}).wait()
    config = run / "prometheus" / "prometheus.yml"
    done = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
