"""The Compose file: its schema, and that what it mounts, names and wants is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from configs.settings import unknown_variables
from serve_app.cli import main

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMA = Path(__file__).parent / "schemas" / "compose.json"
LIMIT_S = 60.0


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@pytest.fixture
def compose() -> dict[str, Any]:
    return read(DEPLOY / "compose.yaml")


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_the_files_fit_the_compose_specification(compose: dict[str, Any]) -> None:
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [error.message for error in validator.iter_errors(compose)] == []
    gpus = read(DEPLOY / "compose.gpu.yaml")
    assert [error.message for error in validator.iter_errors(gpus)] == []
    compose["services"]["serve"]["comand"] = []
    assert len(list(validator.iter_errors(compose))) == 1


def test_every_mounted_path_is_in_the_repository_and_every_volume_is_declared(
    compose: dict[str, Any],
) -> None:
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_dir(), source
            else:
                assert source in compose["volumes"]


def test_images_are_pinned_to_a_version(services: dict[str, Any]) -> None:
    for service in services.values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


def test_only_the_service_can_be_made_to_listen_beyond_this_machine(
    services: dict[str, Any],
) -> None:
    ports = {port for service in services.values() for port in service["ports"]}
    assert ports == {"${LISTEN:-127.0.0.1}:8000:8000", "127.0.0.1:9090:9090", "127.0.0.1:3000:3000"}


def test_the_service_is_started_with_options_that_it_has(services: dict[str, Any]) -> None:
    program, name, *arguments = services["serve"]["command"]
    assert program == "prsm-serve"
    options = {option for each in main.commands[name].params for option in each.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options
    assert not unknown_variables(services["serve"]["environment"])


def test_the_arguments_of_the_build_are_those_of_the_dockerfile(services: dict[str, Any]) -> None:
    build = services["serve"]["build"]
    dockerfile = (DEPLOY / build["context"] / build["dockerfile"]).read_text()
    assert build["args"].keys() <= set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))


def test_every_secret_is_made_in_the_docs(compose: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for name, secret in compose["secrets"].items():
        assert f"> {secret['file'].removeprefix('./')}\n" in page, name


def test_what_prometheus_scrapes_is_the_service_with_a_key_that_it_is_given(
    services: dict[str, Any],
) -> None:
    (job,) = read(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert services[host]["ports"][0].endswith(f":{port}")
    secret = Path(job["authorization"]["credentials_file"])
    assert secret.parent == Path("/run/secrets")
    assert secret.name in services["prometheus"]["secrets"]


def test_alerts_and_dashboards_ask_for_the_job_that_is_scraped() -> None:
    (job,) = read(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    files = [*DEPLOY.glob("prometheus/alerts*.yml"), *DEPLOY.glob("grafana/dashboards/*.json")]
    asked = {name for file in files for name in re.findall(r'\bjob=\\*"([\w-]+)', file.read_text())}
    assert asked == {job["job_name"]}


def test_grafana_finds_prometheus_and_its_dashboards(services: dict[str, Any]) -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = read(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    name, _, port = source["url"].removeprefix("http://").partition(":")
    assert services[name]["ports"][0].endswith(f":{port}")
    (provider,) = read(provisioning / "dashboards" / "prsm-serve.yaml")["providers"]
    mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted
    assert "/etc/grafana/provisioning" in mounted


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_reads_its_configuration_and_the_rules(tmp_path: Path) -> None:
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    key = tmp_path / "key"
    key.write_text("secret")
    file = folder / "prometheus.yml"
    file.write_text(file.read_text().replace("/run/secrets/metrics-key", str(key)))
    done = subprocess.run(
        ["promtool", "check", "config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr + done.stdout
