"""The autoscaling policy of a profile's families, and every option of Serve's in a profile."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from configs.errors import ConfigError
from configs.profile_file import load_profile
from configs.scaling import POLICY, POLICY_CLASS, SERVES_POLICY
from configs.serve_schema import profile_of_config, serve_config
from serve_app.registry.checks import broken_code, deployment
from tests.configs.test_options import NEEDS, SAMPLES

TOY = Path(__file__).parents[1] / "toy" / "profile.yaml"


def profile(folder: Path, **options: Any) -> Path:
    """The toy's profile with these options of its family."""
    content = yaml.safe_load(TOY.read_text())
    content["families"][0]["options"] = options
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def entry(path: Path, name: str = "Spelling") -> dict[str, Any]:
    """A deployment of the Serve configuration that a profile makes."""
    config = serve_config(path)
    ServeDeploySchema.model_validate(deepcopy(config))  # which it changes
    (found,) = [each for each in config["applications"][0]["deployments"] if each["name"] == name]
    return dict(found)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"autoscaling_config": {"max_replicas": 4}},
        {"num_replicas": "auto"},
        {"num_replicas": "auto", "autoscaling_config": {"min_replicas": 2}},
    ],
)
def test_every_family_that_scales_has_the_policy(tmp_path: Path, options: dict[str, Any]) -> None:
    path = profile(tmp_path, **options)
    made = entry(path)
    assert made["autoscaling_config"]["policy"] == POLICY
    given = options.get("autoscaling_config", {})
    assert given.items() <= made["autoscaling_config"].items()
    (family,) = load_profile(path).families
    scaling = deployment(dict, "Spelling", family.options)._deployment_config.autoscaling_config
    assert scaling is not None
    assert scaling.policy.policy_function == POLICY_CLASS


def test_ingress_and_ledger_scale_as_serve_does(tmp_path: Path) -> None:
    path = profile(tmp_path)
    assert "policy" not in entry(path, "Ingress")["autoscaling_config"]
    assert "policy" not in entry(path, "Ledger")["autoscaling_config"]


def test_a_family_with_a_fixed_number_of_replicas_has_no_policy(tmp_path: Path) -> None:
    assert entry(profile(tmp_path, num_replicas=2))["autoscaling_config"] is None


def test_a_profile_turns_the_policy_off_by_naming_serves_own(tmp_path: Path) -> None:
    own = {"policy_function": SERVES_POLICY}
    path = profile(tmp_path, autoscaling_config={"policy": own})
    assert entry(path)["autoscaling_config"]["policy"] == own
    (family,) = load_profile(path, broken_code).families
    scaling = deployment(dict, "Spelling", family.options)._deployment_config.autoscaling_config
    assert scaling is not None
    assert scaling.policy.is_default_policy_function()


def test_the_configuration_that_a_profile_makes_is_the_profile(tmp_path: Path) -> None:
    path = profile(tmp_path, autoscaling_config={"max_replicas": 4})
    written = tmp_path / "serve.yaml"
    written.write_text(yaml.safe_dump(serve_config(path)))
    assert profile_of_config(written, broken_code) == load_profile(path, broken_code)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"policy_kwargs": {}}, "policy: expected a policy_function in it; serve_app.scaling"),
        (
            {**POLICY, "policy_kwargs": {"target": 1}},
            "policy.policy_kwargs.target: expected target_load",
        ),
        (
            {**POLICY, "policy_kwargs": {"target_load": 2}},
            "policy.policy_kwargs.target_load: expected a number above 0, at most 1",
        ),
        ({"policy_function": "nosuch:scale"}, "policy (spelling): No module named"),
    ],
)
def test_a_wrong_policy_is_named_by_key(tmp_path: Path, policy: Any, told: str) -> None:
    path = profile(tmp_path, autoscaling_config={"policy": policy})
    with pytest.raises(ConfigError, match="autoscaling_config") as caught:
        load_profile(path)
    assert f"autoscaling_config.{told}" in str(caught.value)


def sample(key: str) -> Any:
    router = "serve_app.ingress.cluster.affinity_router:AffinityRouter"
    if key == "request_router_config":
        return {**SAMPLES[key], "request_router_class": router}
    return SAMPLES[key]


@pytest.mark.parametrize("key", SAMPLES)
def test_every_option_of_serves_reaches_it_from_a_profile(tmp_path: Path, key: str) -> None:
    needed = {NEEDS[key]: SAMPLES[NEEDS[key]]} if key in NEEDS else {}
    if key == "health_check_timeout_s":
        needed = {"health_check_period_s": 4}
    made = entry(profile(tmp_path, **{key: sample(key)}, **needed))
    if isinstance(sample(key), dict):
        assert sample(key).items() <= made[key].items()
    else:
        assert made[key] == sample(key)
