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
    StartAgain,
    Stores,
    Suspend,
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
STEADY_TOKENS = 200
"""At 0.1 s a token they last longer than the start of another replica, which a change waits for."""
GCS_AWAY_S = 10.0
"""Raylets end when it is away for longer than 60 s (``RAY_gcs_rpc_server_reconnect_timeout_s``)."""
DATABASE_START_S = 10.0
HANG_LIMIT_S = 120.0
"""Three health checks that find no answer, the pauses between them, and the start of another
replica."""
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


def hung(part: Part, load: str) -> tuple[Event, ...]:
    """Health checks notice it: after ``PRSM_HF_STALL_TIMEOUT_S`` if it is an engine's process,
    and of a replica after three checks in a row without an answer."""
    return (Begin(load), Reached(0.3), Suspend(part), Finish())


def gcs_killed(*then: Event) -> tuple[Event, ...]:
    """It is away for some seconds. Nobody starts it again on a machine without KubeRay."""
    away = (Kill(Part.GCS), Wait(GCS_AWAY_S), StartAgain(Part.GCS))
    return (Begin(STEADY), Reached(0.1), *away, *then)


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
    Scenario(
        "torch engine killed twice",
        (
            *(Begin(MIXED), Reached(0.2), Kill(Part.TORCH_ENGINE)),
            *(Reached(0.6), Kill(Part.TORCH_ENGINE), Finish()),
        ),
    ),
    Scenario("OpenVINO engine killed", killed(Part.OPENVINO_ENGINE, GREEDY)),
    Scenario("torch engine hangs", hung(Part.TORCH_ENGINE, MIXED)),
    Scenario("model replica hangs", hung(Part.GENERATION, STEADY), recovery_s=HANG_LIMIT_S),
    Scenario(
        "classifier killed",
        (Begin(CALLS), Reached(0.1), Kill(Part.CLASSIFICATION), Finish()),
    ),
    Scenario("clients leave, stall, drip", (Misbehave(8), Begin(MIXED), Finish())),
    Scenario(
        "disk of the conversations full",
        (
            *(Begin(STEADY), Begin(TALKS, UNAVAILABLE), Wait(1), FillDisk()),
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
    Scenario(
        "PostgreSQL killed",
        (
            *(Begin(STEADY), Reached(0.1), Begin(TALKS, UNAVAILABLE), Wait(1)),
            *(
                Kill(Part.POSTGRESQL),
                Begin(TALKS, UNAVAILABLE),
                Reached(0.4),
                StartAgain(Part.POSTGRESQL),
            ),
            *(Wait(DATABASE_START_S), Begin(TALKS), Finish()),
        ),
        stores=Stores.POSTGRESQL,
    ),
    Scenario("GCS killed", gcs_killed(Finish()), stores=Stores.REDIS),
    Scenario(
        "GCS killed, then a model replica",
        gcs_killed(Reached(0.6), Kill(Part.GENERATION), Finish()),
        stores=Stores.REDIS,
    ),
)
"""Of a GCS without a store nothing is left to be seen: the launcher ends the graph with it.

Ray's own ``RayletKiller`` (``ray._private.test_utils``) is not used: it ends raylets of nodes that
are not the head, and leaves the last of these alone. This graph has a head and no other node.
"""
