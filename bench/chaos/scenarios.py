"""The scenarios, as data."""

from __future__ import annotations

from typing import Any

from bench.changes import deployment
from bench.chaos.events import (
    Begin,
    Change,
    Edit,
    Event,
    Finish,
    Kill,
    Loads,
    Misbehave,
    Reached,
    Scenario,
)
from bench.chaos.processes import Part
from bench.chaos.requests import calls, greedy, mixed
from bench.peers.weights import CHAT, CHAT_FLOAT32

MIXED, GREEDY, CALLS = "32 streams, torch", "20 streams, OpenVINO", "400 calls"


def loads(tokens: int) -> Loads:
    """The loads by their names; a stream generates up to so many tokens."""
    return {
        MIXED: mixed(CHAT_FLOAT32, tokens),
        GREEDY: greedy(CHAT, tokens),
        CALLS: calls(CHAT, tokens),
    }


def replaced(config: dict[str, Any]) -> None:
    """Options of Ray's actors cannot change on a running replica: it is replaced."""
    options = deployment(config, "Generation")["ray_actor_options"]
    options["num_cpus"] = 0.25 if options["num_cpus"] == 0.3 else 0.3


def ingress_replaced(config: dict[str, Any]) -> None:
    options = deployment(config, "Ingress")["ray_actor_options"]
    options["num_cpus"] = 0.15 if options["num_cpus"] == 0.2 else 0.2


def scaled(replicas: int) -> Edit:
    def edit(config: dict[str, Any]) -> None:
        deployment(config, "Generation")["autoscaling_config"] |= {
            "min_replicas": replicas,
            "max_replicas": replicas,
            "downscale_delay_s": 0,
        }

    return edit


def killed(part: Part, load: str) -> tuple[Event, ...]:
    return (Begin(load), Reached(0.3), Kill(part), Finish())


SCENARIOS = (
    Scenario("nothing happens", (Begin(MIXED), Finish())),
    Scenario("model replica killed", killed(Part.GENERATION, MIXED)),
    Scenario(
        "model replica killed twice",
        (
            *(Begin(MIXED), Reached(0.2), Kill(Part.GENERATION)),
            *(Reached(0.5), Kill(Part.GENERATION), Finish()),
        ),
    ),
    Scenario("model replica killed, OpenVINO", killed(Part.GENERATION, GREEDY)),
    Scenario("torch engine killed", killed(Part.TORCH_ENGINE, MIXED)),
    Scenario(
        "torch engine killed three times",
        (
            *(Begin(MIXED), Reached(0.1), Kill(Part.TORCH_ENGINE)),
            *(Reached(0.4), Kill(Part.TORCH_ENGINE)),
            *(Reached(0.7), Kill(Part.TORCH_ENGINE), Finish()),
        ),
    ),
    Scenario("OpenVINO engine killed", killed(Part.OPENVINO_ENGINE, GREEDY)),
    Scenario(
        "classifier killed", (Begin(CALLS), Reached(0.1), Kill(Part.CLASSIFICATION), Finish())
    ),
    Scenario("clients leave, stall, drip", (Misbehave(8), Begin(MIXED), Finish())),
    Scenario("rolling update", (Begin(MIXED), Reached(0.2), Change(replaced), Finish())),
    Scenario(
        "scale-in, 2 to 1",
        (Change(scaled(2)), Begin(MIXED), Reached(0.2), Change(scaled(1)), Finish()),
    ),
    Scenario("ingress updated", (Begin(MIXED), Reached(0.2), Change(ingress_replaced), Finish())),
    Scenario("controller killed", killed(Part.CONTROLLER, MIXED)),
    Scenario("ledger killed", killed(Part.LEDGER, MIXED)),
    Scenario("ingress replica killed", killed(Part.INGRESS, MIXED), max_lost=32),
    Scenario("HAProxy killed", killed(Part.HAPROXY, MIXED), max_lost=32),
)
"""GCS is not among them: without a store of its own it takes the cluster with it, and Ray ends."""
