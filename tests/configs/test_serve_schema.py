"""Profiles as Serve's configuration: Serve accepts it, and edits in it are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

import configs
from configs.errors import ConfigError
from configs.profile_file import load_profile
from configs.serve_schema import INGRESS, LEDGER, profile_of_config, serve_config

ROOT = Path(configs.__file__).parents[1]
SHIPPED = sorted(file.stem for file in Path(configs.__file__).parent.glob("*.yaml"))


@pytest.fixture
def config() -> dict[str, Any]:
    return serve_config("embedded")


def entry(config: dict[str, Any], name: str) -> dict[str, Any]:
    entries = config["applications"][0]["deployments"]
    return next(each for each in entries if each["name"] == name)


def refusal(config: Any, folder: Path) -> str:
    path = folder / "serve_config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    with pytest.raises(ConfigError) as caught:
        profile_of_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("name", SHIPPED)
def test_serve_takes_the_configuration_of_every_shipped_profile(name: str) -> None:
    schema = ServeDeploySchema.model_validate(serve_config(name))
    profile = load_profile(name)
    (application,) = schema.applications
    deployed = {deployment.name: deployment for deployment in application.deployments}
    families = {family.deployment_name for family in profile.families}
    assert set(deployed) == {INGRESS, LEDGER, *families}
    for family in profile.families:
        found = deployed[family.deployment_name]
        assert found.max_ongoing_requests == family.options.max_ongoing_requests
        assert found.max_queued_requests == family.options.max_queued_requests


def test_the_deadline_is_the_services_own_not_serves(config: dict[str, Any]) -> None:
    schema = ServeDeploySchema.model_validate(config)
    assert schema.http_options.request_timeout_s is None


def test_the_repositorys_configuration_is_what_the_embedded_profile_makes(
    config: dict[str, Any],
) -> None:
    shipped = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    read = ServeDeploySchema.model_validate
    assert read(shipped) == read(config)


def test_the_repositorys_configuration_names_the_embedded_profile() -> None:
    assert profile_of_config(ROOT / "serve_config.yaml") == load_profile("embedded")


def test_options_in_the_file_take_the_place_of_the_profiles(
    config: dict[str, Any], tmp_path: Path
) -> None:
    entry(config, "Embeddings")["max_queued_requests"] = 7
    entry(config, INGRESS)["max_ongoing_requests"] = 900
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    profile = profile_of_config(path)
    embeddings = next(family for family in profile.families if family.name == "embeddings")
    assert embeddings.options.max_queued_requests == 7
    assert profile.ingress.max_ongoing_requests == 900


def test_a_deployment_that_the_profile_does_not_have_is_named(
    config: dict[str, Any], tmp_path: Path
) -> None:
    config["applications"][0]["deployments"].append({"name": "Poetry"})
    assert "deployments.Poetry: expected a deployment of profile embedded" in refusal(
        config, tmp_path
    )


def test_a_deployment_that_is_missing_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    deployments = config["applications"][0]["deployments"]
    deployments.remove(entry(config, "Classification"))
    assert "expected an entry for Classification" in refusal(config, tmp_path)


def test_a_limit_that_breaks_a_rule_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    entry(config, "Embeddings")["autoscaling_config"]["min_replicas"] = 9
    message = refusal(config, tmp_path)
    assert "families.embeddings.options.autoscaling_config.min_replicas: expected" in message


def test_a_profiles_fixed_number_of_replicas_is_one_that_serve_keeps(
    tmp_path: Path,
) -> None:
    content = yaml.safe_load((ROOT / "configs" / "embedded.yaml").read_text())
    content["families"][0]["options"] |= {"num_replicas": 3}
    del content["families"][0]["options"]["autoscaling_config"]
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(content))
    made = serve_config(path)
    assert entry(made, "Generation")["num_replicas"] == 3
    assert entry(made, "Generation")["autoscaling_config"] is None
    ServeDeploySchema.model_validate(made)
    back = tmp_path / "serve_config.yaml"
    back.write_text(yaml.safe_dump(made))
    assert profile_of_config(back) == load_profile(path)


def test_a_number_beside_the_profiles_scaling_is_refused_for_serve_would_ignore_it(
    config: dict[str, Any], tmp_path: Path
) -> None:
    generation = entry(config, "Generation")
    del generation["autoscaling_config"]
    generation["num_replicas"] = 2
    message = refusal(config, tmp_path)
    assert "deployments.Generation.num_replicas: expected autoscaling_config: null" in message
    generation["autoscaling_config"] = None
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    (options,) = [f.options for f in profile_of_config(path).families if f.name == "generation"]
    assert (options.num_replicas, options.scaling) == (2, None)


def test_what_the_file_leaves_out_is_the_profiles(config: dict[str, Any], tmp_path: Path) -> None:
    del entry(config, "Embeddings")["max_ongoing_requests"]
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    assert profile_of_config(path) == load_profile("embedded")


@pytest.mark.parametrize(
    ("option", "value"), [("max_ongoing_requests", 0), ("max_ongoing_request", 5)]
)
def test_an_option_that_is_wrong_or_unknown_is_named_under_its_deployment(
    config: dict[str, Any], tmp_path: Path, option: str, value: int
) -> None:
    entry(config, "Generation")[option] = value
    assert f"deployments.Generation.{option}: " in refusal(config, tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("applications: [", "is not YAML"),
        ("- a", "applications: expected a list of one application"),
        ("applications: []", "applications: expected a list of one application"),
        ("applications: [7]", "applications.0: expected a mapping"),
        ("applications: [{import_path: 'a:b'}]", "applications.0.import_path: expected"),
    ],
)
def test_a_file_that_is_no_configuration_of_ours_says_what_was_expected(
    tmp_path: Path, content: str, expected: str
) -> None:
    assert expected in refusal(content, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("args", "embedded"), ("deployments", [{}]), ("deployments", ["Ingress"])]
)
def test_parts_of_the_wrong_shape_are_named(
    config: dict[str, Any], tmp_path: Path, key: str, value: Any
) -> None:
    config["applications"][0][key] = value
    assert f"applications.0.{key}: expected" in refusal(config, tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nosuch\.yaml: cannot be read"):
        profile_of_config(tmp_path / "nosuch.yaml")


def test_back_pressure_is_a_429_unless_a_profile_says_otherwise(tmp_path: Path) -> None:
    content = load_profile("embedded").model_dump(mode="json", exclude_unset=True)
    given = {"status_code": 503, "retry_after_s": 7.5}
    content["families"][0]["options"]["backpressure_config"] = given
    file = tmp_path / "profile.yaml"
    file.write_text(yaml.safe_dump(content))
    schema = ServeDeploySchema.model_validate(serve_config(file))
    found = {each.name: each.backpressure_config for each in schema.applications[0].deployments}
    assert found.pop("Generation").model_dump() == given
    assert all(each.status_code == 429 and each.retry_after_s for each in found.values())


@pytest.mark.parametrize("given", [{"status_code": 500}, {"retry_after": 1}, {"retry_after_s": -1}])
def test_back_pressure_that_serve_does_not_know_is_refused(
    config: dict[str, Any], tmp_path: Path, given: dict[str, Any]
) -> None:
    entry(config, INGRESS)["backpressure_config"] = given
    assert "deployments.Ingress.backpressure_config" in refusal(config, tmp_path)
