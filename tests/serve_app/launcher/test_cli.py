"""The commands and their refusals; nothing here starts Ray or uses the network."""

import json
import socket
from pathlib import Path

import pytest
import yaml

from tests.serve_app.launcher.cli_runs import FOREIGN, ray_import
from tests.serve_app.launcher.cli_runs import run as _run


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(FOREIGN))
    return path


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("applications: [", "is not YAML"),
        ("{}", "applications: expected a list"),
        ("applications: [7]", "applications: expected a mapping for each"),
        ("applications: [{import_path: 'a:b'}]\nhttp_options: 8000", "http_options: expected"),
        ("- 1", "applications: expected a list"),
        ("applications: [{}]\nhttp_options: {port: 80000}", "http_options.port: expected a number"),
        ("applications: [{}]\nhttp_options: {port: web}", "http_options.port: expected a number"),
    ],
)
def test_a_broken_config_is_refused_with_file_and_key(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    result = _run("up", "--config", str(path))
    assert result.exit_code == 2
    assert f"error: {path}" in result.stderr
    assert complaint in result.stderr


def test_listening_everywhere_without_keys_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    result = _run("up", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "0.0.0.0 without API keys" in result.stderr
    for name in ("PRSM_HF_API_KEYS_FILE", "PRSM_HF_ALLOW_ANONYMOUS=true", "127.0.0.1"):
        assert name in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_keys_that_cannot_be_read_are_refused_before_anything_starts(
    tmp_path: Path, host: str
) -> None:
    file = tmp_path / "keys"
    file.write_text("ada:no hash\n")
    result = _run("up", "--host", host, PRSM_HF_API_KEYS_FILE=str(file))
    assert result.exit_code == 2
    assert f"error: {file}: line 1: expected name:sha256" in result.stderr


def test_a_port_in_use_is_one_line_and_exit_code_2_before_anything_starts(foreign: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = _run("up", "--config", str(foreign), "--port", str(port))
    assert result.exit_code == 2
    assert result.stdout.startswith(f"error: port {port} on 127.0.0.1 is in use")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_an_invalid_port_is_refused(port: str) -> None:
    assert _run("up", "--port", port).exit_code == 2


def test_status_says_in_one_line_that_nothing_runs() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        result = _run("status", "--address", address)
        as_json = _run("status", "--json", "--address", address)
    assert result.exit_code == as_json.exit_code == 1
    assert result.stdout.startswith("nothing runs")
    assert len(result.stdout.splitlines()) == 1
    assert address in json.loads(as_json.stdout)["error"]


def test_status_of_a_port_that_no_start_has_says_so_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = _run("status", "--port", port)
        as_json = _run("status", "--json", "--port", port)
    assert result.exit_code == as_json.exit_code == 1
    assert result.stdout.startswith(f"no graph that was started here has port {port}")
    assert len(result.stdout.splitlines()) == 1
    assert port in json.loads(as_json.stdout)["error"]


def test_models_of_another_graph_are_not_known(foreign: Path) -> None:
    result = _run("models", "--config", str(foreign))
    assert result.exit_code == 2
    assert "no models are known" in result.stderr


@ray_import
@pytest.mark.parametrize(
    ("options", "front"),
    [
        ((), ("127.0.0.1", 8000)),
        (("--port", "8123"), ("127.0.0.1", 8123)),
        (("--host", "0.0.0.0", "--port", "80"), ("0.0.0.0", 80)),
        (("--profile", "gpu", "--host", "::"), ("::", 8000)),
    ],
)
def test_the_printed_config_has_the_given_host_and_port(
    options: tuple[str, ...], front: tuple[str, int]
) -> None:
    result = _run("config", *options)
    assert result.exit_code == 0, result.output
    found = yaml.safe_load(result.stdout)["http_options"]
    assert (found["host"], found["port"]) == front


@ray_import
def test_a_config_may_be_printed_again_with_another_address(foreign: Path) -> None:
    result = _run("config", "--config", str(foreign), "--port", "9000")
    found = yaml.safe_load(result.stdout)
    assert found["applications"] == FOREIGN["applications"]
    assert found["http_options"]["port"] == 9000


@ray_import
def test_tasks_are_listed_with_all_their_names() -> None:
    shown = _run("tasks").stdout
    assert "visual-question-answering" in shown
    assert "deployments.summarization:Summarization" in shown
    assert _run("tasks", "--markdown").stdout.startswith("| task |")


def test_the_tasks_of_a_profile_are_those_of_its_families() -> None:
    shown = _run("tasks", "--markdown", "--profile", "tests/toy/profile.yaml").stdout
    assert "`spell`" in shown
    assert "`generate`" not in shown


@ray_import
def test_a_config_becomes_the_patch_of_a_rayservice_that_other_machines_reach(
    foreign: Path,
) -> None:
    result = _run("config", "--config", str(foreign), "--rayservice", "mine")
    patch = yaml.safe_load(result.stdout)
    assert (patch["kind"], patch["metadata"]["name"]) == ("RayService", "mine")
    config = yaml.safe_load(patch["spec"]["serveConfigV2"])
    assert config["applications"] == FOREIGN["applications"]
    assert config["http_options"]["host"] == "0.0.0.0"


@ray_import
def test_a_config_may_name_another_place_of_the_profile() -> None:
    result = _run("config", "--profile-at", "/etc/profile.yaml")
    (application,) = yaml.safe_load(result.stdout)["applications"]
    assert application["args"] == {"profile": "/etc/profile.yaml"}


@ray_import
def test_the_environment_of_a_node_is_printed_and_its_script_written_only_on_request(
    tmp_path: Path,
) -> None:
    place = tmp_path / "haproxy"
    options = ("node", "--haproxy-directory", str(place))
    assert f"export RAY_SERVE_HAPROXY_BINARY_PATH={place}/haproxy\n" in _run(*options).stdout
    assert not place.exists()
    lines = _run(*options, "--print", "env-file", "--cpus", "64", "--write-haproxy").stdout
    assert "RAY_SERVE_HAPROXY_NBTHREAD=4\n" in lines
    assert (place / "haproxy").exists()


@ray_import
def test_a_node_has_something_to_do() -> None:
    result = _run("node")
    assert result.exit_code == 2
    assert "COMMAND" in result.stderr
