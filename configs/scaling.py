"""The autoscaling policy of model families, as a key of Serve's ``autoscaling_config``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from configs.options import DeploymentOptions

POLICY_OPTION = "policy"
POLICY_CLASS = "serve_app.scaling.load_policy:LoadPolicy"
SERVES_POLICY = "ray.serve.autoscaling_policy:default_autoscaling_policy"

POLICY: dict[str, Any] = {"policy_function": POLICY_CLASS}
"""What every family has that scales, unless its options name another policy.

Serve hashes the policies of its configuration: another one restarts all deployments."""


def policy_problems(key: str, options: DeploymentOptions) -> Iterator[str]:
    """What is wrong with the policy of a deployment's options."""
    scaling = options.autoscaling_config
    policy = (scaling.model_extra or {}).get(POLICY_OPTION) if scaling else None
    if not isinstance(policy, dict):
        return
    where = f"{key}.autoscaling_config.{POLICY_OPTION}"
    if "policy_function" not in policy:
        yield f"{where}: expected a policy_function in it; {POLICY_CLASS} is the default"
    elif policy["policy_function"] == POLICY_CLASS:
        for name, value in policy.get("policy_kwargs", {}).items():
            if name != "target_load":
                yield f"{where}.policy_kwargs.{name}: expected target_load"
            elif (
                isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1
            ):
                yield f"{where}.policy_kwargs.{name}: expected a number above 0, at most 1"
