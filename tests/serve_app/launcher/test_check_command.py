"""What the command check tells of profiles, configurations and the environment."""

from pathlib import Path

import pytest
import yaml

from configs.profile_file import load_profile, profile_path
from tests.serve_app.launcher.cli_runs import FOREIGN, ray_import
from tests.serve_app.launcher.cli_runs import run as _run


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
