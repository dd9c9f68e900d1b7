"""The scenarios, as data."""

from __future__ import annotations

from typing import Any

from bench.changes import deployment
from bench.chaos.events import (
    Begin,
    Change,
    Edit,
    Event,
    FillDisk,
    Finish,
    FreeDisk,
    Kill,
    Loads,
    Misbehave,
    Reached,
    Scenario,
    Wait,
)
from bench.chaos.graph import PACED
from bench.chaos.processes import Part
from bench.chaos.reading import Refusal
from bench.chaos.requests import calls, greedy, mixed, paced, talks
from bench.peers.weights import CHAT, CHAT_FLOAT32

MIXED, GREEDY, CALLS = "32 streams, torch", "20 streams, OpenVINO", "400 calls"
TALKS = "16 conversations"
STEADY = "32 steady streams"
STEADY_TOKENS = 450
UNAVAILABLE = Refusal(503, "service_unavailable")
"""The answer to a conversation whose database cannot store it."""


def loads(tokens: int) -> Loads:
    """The loads by their names; a stream generates up to so many tokens."""
    return {
        MIXED: mixed(CHAT_FLOAT32, tokens),
        GREEDY: greedy(CHAT, tokens),
        CALLS: calls(CHAT, tokens),
        TALKS: talks(PACED),
        STEADY: paced(PACED, STEADY_TOKENS),
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
    Scenario("model replica killed, OpenVINO", killed(Part.GENERATION, GREEDY)),
    Scenario(
        "model replica killed three times",
        (
            *(Begin(STEADY), Reached(0.1), Kill(Part.GENERATION)),
            *(Reached(0.4), Kill(Part.GENERATION)),
            *(Reached(0.7), Kill(Part.GENERATION), Finish()),
        ),
    ),
    Scenario("torch engine killed", killed(Part.TORCH_ENGINE, MIXED)),
    Scenario(
        "torch engine killed twice",
        (
            *(Begin(MIXED), Reached(0.2), Kill(Part.TORCH_ENGINE)),
            *(Reached(0.6), Kill(Part.TORCH_ENGINE), Finish()),
        ),
    ),
    Scenario("OpenVINO engine killed", killed(Part.OPENVINO_ENGINE, GREEDY)),
    Scenario(
        "classifier killed",
        (Begin(CALLS), Reached(0.1), Kill(Part.CLASSIFICATION), Finish()),
    ),
    Scenario("clients leave, stall, drip", (Misbehave(8), Begin(MIXED), Finish())),
    Scenario(
        "disk of the conversations full",
        (
            *(Begin(STEADY), Begin(TALKS, UNAVAILABLE), FillDisk(), Wait(1)),
            *(Begin(TALKS, UNAVAILABLE), Finish(), FreeDisk(), Begin(TALKS), Finish()),
        ),
    ),
    Scenario("rolling update", (Begin(STEADY), Reached(0.1), Change(replaced), Finish())),
    Scenario("rolling update, torch", (Begin(MIXED), Reached(0.2), Change(replaced), Finish())),
    Scenario(
        "scale-in, 2 to 1",
        (Change(scaled(2)), Begin(STEADY), Reached(0.1), Change(scaled(1)), Finish()),
    ),
    Scenario("ingress updated", (Begin(STEADY), Reached(0.1), Change(ingress_replaced), Finish())),
    Scenario("controller killed", killed(Part.CONTROLLER, STEADY)),
    Scenario("ledger killed", killed(Part.LEDGER, STEADY)),
    Scenario("ingress replica killed", killed(Part.INGRESS, STEADY), max_lost=32),
    Scenario("HAProxy killed", killed(Part.HAPROXY, STEADY), max_lost=32),
)
"""GCS is not among them: without a store of its own it takes the cluster with it, and Ray ends."""
