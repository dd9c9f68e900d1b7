"""Options of a deployment: every option of Serve, checked by Serve's schema."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
from pydantic import ValidationError
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import DeploymentSchema

from configs.errors import explain
from configs.options import LEDGER_OPTIONS, ActorOptions, Autoscaling, DeploymentOptions

SAMPLES: dict[str, Any] = {
    "num_replicas": 3,
    "max_ongoing_requests": 7,
    "max_queued_requests": 9,
    "backpressure_config": {"status_code": 429, "retry_after_s": 2.0},
    "user_config": {"max_batch_size": 4},
    "autoscaling_config": {"look_back_period_s": 20.0, "downscale_to_zero_delay_s": 5.0},
    "graceful_shutdown_wait_loop_s": 1.5,
    "graceful_shutdown_timeout_s": 30.0,
    "health_check_period_s": 4.0,
    "health_check_timeout_s": 8.0,
    "ray_actor_options": {"num_cpus": 2.0, "accelerator_type": "A100"},
    "placement_group_bundles": [{"CPU": 1.0}],
    "placement_group_strategy": "PACK",
    "placement_group_bundle_label_selector": [{"zone": "a"}],
    "max_replicas_per_node": 2,
    "logging_config": {"log_level": "DEBUG"},
    "request_router_config": {"request_routing_stats_period_s": 5.0},
    "gang_scheduling_config": {"gang_size": 2},
    "deployment_actors": [{"name": "shared", "actor_class": "house.shared:Shared"}],
    "rolling_update_percentage": 0.5,
    "max_surge_percent": 10,
}
NEEDS = {"placement_group_bundle_label_selector": "placement_group_bundles"}


def refusals(**options: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        DeploymentOptions.model_validate(options)
    return explain(caught.value, "options", DeploymentOptions)


def test_the_samples_are_all_the_options_that_serve_has() -> None:
    assert set(SAMPLES) == set(DeploymentSchema.model_fields) - {"name"}


@pytest.mark.parametrize("key", SAMPLES)
def test_every_option_of_serves_passes_through(key: str) -> None:
    needed = {NEEDS[key]: SAMPLES[NEEDS[key]]} if key in NEEDS else {}
    given = DeploymentOptions.model_validate({key: SAMPLES[key]} | needed).as_serve()
    DeploymentSchema.model_validate({"name": "any", **given})
    if isinstance(SAMPLES[key], dict):
        assert SAMPLES[key].items() <= given[key].items()
    else:
        assert given[key] == SAMPLES[key]
    assert set(given) <= set(signature(serve.deployment).parameters)


@pytest.mark.parametrize("field", sorted(set(AutoscalingConfig.model_fields) - {"policy"}))
def test_every_option_of_scaling_passes_through(field: str) -> None:
    ours = Autoscaling.model_fields.get(field)
    default = (ours or AutoscalingConfig.model_fields[field]).get_default()
    value = 2 if default is None else default
    scaling = {"max_replicas": 2, field: value}
    options = DeploymentOptions.model_validate({"autoscaling_config": scaling})
    assert options.as_serve()["autoscaling_config"][field] == value


@pytest.mark.parametrize("options", [DeploymentOptions(), LEDGER_OPTIONS])
def test_our_own_defaults_are_ones_that_serve_takes(options: DeploymentOptions) -> None:
    DeploymentSchema.model_validate({"name": "any", **options.as_serve()})
    AutoscalingConfig.model_validate(options.as_serve()["autoscaling_config"])


def test_our_own_fields_are_serves() -> None:
    assert set(DeploymentOptions.model_fields) <= set(DeploymentSchema.model_fields)
    assert set(Autoscaling.model_fields) <= set(AutoscalingConfig.model_fields)
    actor = DeploymentSchema.model_fields["ray_actor_options"].annotation
    assert actor is not None
    assert set(ActorOptions.model_fields) <= set(actor.model_fields)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_replica": 2}, "options.num_replica: Serve has no such option; did you mean num_re"),
        ({"num_replicas": 0}, "options.num_replicas: expected a whole number from 1 on, or auto"),
        ({"num_replicas": "all"}, "options.num_replicas: expected a whole number from 1 on"),
        ({"num_replicas": True}, "options.num_replicas: expected a whole number from 1 on"),
        ({"max_queued_requests": 0}, "options.max_queued_requests: expected a whole number"),
        (
            {"autoscaling_config": {"look_back_period": 9}},
            "options.autoscaling_config.look_back_period: Serve has no such option; did you mean "
            "look_back_period_s?",
        ),
        (
            {"autoscaling_config": {"upscaling_factor": 0}},
            "options.autoscaling_config.upscaling_factor: Input should be greater than 0",
        ),
        (
            {"autoscaling_config": {"policy": {"policy_functon": "a:b"}}},
            "options.autoscaling_config.policy.policy_functon: Serve has no such option; did you",
        ),
        (
            {"autoscaling_config": {"policy": {"policy_function": "nosuch:scale"}}},
            "options.autoscaling_config.policy: No module named 'nosuch'",
        ),
        ({"logging_config": {"log_levle": "INFO"}}, "options.logging_config.log_levle: Serve has"),
        ({"logging_config": {"log_level": "LOUD"}}, 'options.logging_config.log_level: Got "LOUD"'),
        ({"backpressure_config": {"status_code": 500}}, "options.backpressure_config.status_code:"),
        ({"ray_actor_options": {"num_gpu": 1}}, "options.ray_actor_options.num_gpu: Serve has no"),
        ({"gang_scheduling_config": {"gang_size": 0}}, "options.gang_scheduling_config.gang_size"),
        (
            {"gang_scheduling_config": {"gang_size": 1, "runtime_failure_policy": "nothing"}},
            "options.gang_scheduling_config.runtime_failure_policy",
        ),
        (
            {"request_router_config": {"request_router_class": "nosuch:Router"}},
            "options.request_router_config: No module named 'nosuch'",
        ),
        (
            {"deployment_actors": [{"name": "a", "actor_class": "b:C", "actor_optoins": {}}]},
            "options.deployment_actors.0.actor_optoins: Serve has no such option; did you mean",
        ),
        ({"name": "Mine"}, "options.name: the name is the family's"),
    ],
)
def test_options_that_serve_refuses_are_named_by_key(options: dict[str, Any], told: str) -> None:
    (problem,) = refusals(**options)
    assert problem.startswith(told)
    assert "\n" not in problem


def test_a_fixed_number_beside_scaling_is_refused_with_an_explanation() -> None:
    (problem,) = refusals(num_replicas=2, autoscaling_config={"max_replicas": 3})
    assert problem.startswith("options.num_replicas: expected one of num_replicas and autoscaling")


def test_a_family_may_begin_with_no_replica() -> None:
    scaling = {"min_replicas": 0, "initial_replicas": 0, "max_replicas": 2}
    assert DeploymentOptions.model_validate({"autoscaling_config": scaling}).scaling is not None


def test_a_fixed_number_turns_scaling_off() -> None:
    options = DeploymentOptions.model_validate({"num_replicas": 2})
    assert options.scaling is None
    assert options.as_serve()["autoscaling_config"] is None


def test_auto_scales_as_serve_does_and_not_by_our_defaults() -> None:
    plain = DeploymentOptions.model_validate({"num_replicas": "auto"})
    assert plain.as_serve()["autoscaling_config"] is None
    serves: Any = AutoscalingConfig.default()  # type: ignore[no-untyped-call]
    assert plain.scaling is not None
    found = plain.scaling.model_dump(exclude={"initial_replicas"})
    assert found == {key: getattr(serves, key) for key in found}
    scaling = {"min_replicas": 2}
    own = DeploymentOptions.model_validate({"num_replicas": "auto", "autoscaling_config": scaling})
    assert own.as_serve()["autoscaling_config"] == scaling
    assert own.scaling is not None
    assert (own.scaling.min_replicas, own.scaling.max_replicas) == (2, 100)
