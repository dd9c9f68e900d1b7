"""The commands and their refusals; nothing here starts Ray or uses the network."""

import json
import socket
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from configs.profile_file import load_profile, profile_path
from serve_app.cli import main

FOREIGN = {"applications": [{"name": "stub", "import_path": "stub:build", "route_prefix": "/"}]}

# Ray Serve's own modules warn when they are imported with this pydantic.
ray_import = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")


def _run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, list(arguments))


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(FOREIGN))
    return path


def test_a_profile_that_does_not_exist_is_refused_with_its_file_and_the_known_names() -> None:
    result = _run("check", "--profile", "nosuch")
    assert result.exit_code == 2
    assert "nosuch.yaml" in result.stderr
    assert "cannot be read" in result.stderr


def test_profile_and_config_exclude_each_other(foreign: Path) -> None:
    result = _run("check", "--profile", "embedded", "--config", str(foreign))
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


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


@ray_import
def test_a_check_reads_the_keys_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("ada:no hash\n")
    result = _run("check", PRSM_HF_API_KEYS_FILE=str(file))
    assert result.exit_code == 2
    assert f"error: {file}: line 1: expected name:sha256" in result.stderr
    file.write_text(f"ada:{'0' * 64}\n")
    assert _run("check", PRSM_HF_API_KEYS_FILE=str(file)).exit_code == 0


@ray_import
def test_a_check_says_which_sizes_it_does_not_know(tmp_path: Path) -> None:
    unfetched = _run("check", "--profile", "gpu", PRSM_HF_HF_CACHE_DIR=str(tmp_path))
    assert unfetched.exit_code == 0
    notes = unfetched.stderr.splitlines()
    assert len(notes) == len(load_profile("gpu").models)
    assert all(line.startswith("note: families.") and "size" in line for line in notes)
    assert _run("check", PRSM_HF_HF_CACHE_DIR=str(tmp_path)).stderr == ""


@ray_import
def test_a_check_says_how_many_gpus_a_profile_needs_that_does_not_say_how_many_there_are(
    tmp_path: Path,
) -> None:
    text = profile_path("gpu").read_text()
    path = tmp_path / "counted.yaml"
    path.write_text(text.replace("gpus: 1\n", ""))
    assert "note: gpus: not set; the first replicas of all families need 1 together" in (
        _run("check", "--profile", str(path), PRSM_HF_HF_CACHE_DIR=str(tmp_path)).stderr
    )
    path.write_text(text.replace("num_gpus: 0.22", "num_gpus: 0.9"))
    refused = _run("check", "--profile", str(path), PRSM_HF_HF_CACHE_DIR=str(tmp_path))
    assert refused.exit_code == 2
    assert "gpus: expected at least 2, since the families ask for generation 0.9 + " in (
        refused.stderr
    )


@ray_import
def test_a_value_that_serve_does_not_take_is_refused_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(FOREIGN | {"http_options": {"keep_alive_timeout_s": "soon"}}))
    result = _run("check", "--config", str(path))
    assert result.exit_code == 2
    assert "http_options.keep_alive_timeout_s" in result.stderr


@ray_import
def test_another_graphs_config_is_valid_by_serves_own_schema(foreign: Path) -> None:
    result = _run("check", "--config", str(foreign))
    assert result.exit_code == 0, result.output
    assert "valid" in result.stdout


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
    ("changed", "told"),
    [
        ({"http_option": {}}, "http_option: Serve has no such option; did you mean http_options?"),
        ({"http_options": {"prot": 1}}, "http_options.prot: Serve has no such option; did you"),
        (
            {"applications": [{**FOREIGN["applications"][0], "deployment": []}]},
            "applications.0.deployment: Serve has no such option; did you mean deployments?",
        ),
        (
            {"applications": [FOREIGN["applications"][0] | {"deployments": [{"nam": "A"}]}]},
            "applications.0.deployments.0.nam: Serve has no such option",
        ),
    ],
)
def test_a_key_that_serve_would_ignore_is_refused_with_the_closest_one(
    tmp_path: Path, changed: dict[str, object], told: str
) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(FOREIGN | changed))
    result = _run("check", "--config", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path}: {told}")


@ray_import
def test_a_profile_with_mistakes_is_one_line_each_for_check_and_for_up(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    model = {"name": "m", "tasks": ["text-classification"], "pinned": True}
    model |= {"source": {"folder": "nosuch"}}
    family = {
        "name": "moods",
        "deployment": "deployments.classification:Classification",
        "routers": ["serve_app.ingress.routes.classificaton:router"],
        "models": [model],
    }
    profile.write_text(yaml.safe_dump({"name": "mine", "families": [family]}))
    checked = _run("check", "--profile", str(profile))
    assert checked.exit_code == 2
    lines = checked.stderr.splitlines()
    assert len(lines) == 3
    assert f"{tmp_path / 'nosuch'} is not a folder" in lines[0]
    assert "did you mean serve_app.ingress.routes.classification?" in lines[1]
    assert "in a profile it is sentiment or topic" in lines[2]
    for command in ("up", "config", "models"):
        result = _run(command, "--profile", str(profile))
        assert (result.exit_code, result.stderr) == (2, checked.stderr)


@ray_import
def test_a_misspelt_variable_is_refused() -> None:
    result = _run("check", PRSM_HF_TEMPRATURE="0.5")
    assert result.exit_code == 2
    assert "PRSM_HF_TEMPRATURE: no setting is read from it" in result.stderr
    assert result.stderr.strip().endswith("did you mean PRSM_HF_TEMPERATURE?")


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
