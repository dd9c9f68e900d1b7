"""Reads nodes, GPUs, replicas and decisions of the cluster while a run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from deployments.seam.scaling import ScalingDecision, ScalingDecisions


@dataclass(frozen=True, slots=True)
class Observation:
    """The cluster at one moment of a run, in seconds since it began."""

    at_s: float
    nodes: int
    gpus: float
    gpus_in_use: float
    running: dict[str, int]
    wanted: dict[str, int]
    decisions: dict[str, ScalingDecision]


class Watch:
    """Observes the families of one application. ``client`` is Serve's, of this process."""

    def __init__(self, client: Any, application: str, families: tuple[str, ...]) -> None:
        self._client = client
        self._application = application
        self._families = families
        self._decisions = ScalingDecisions(application)
        self.seen: list[Observation] = []

    def look(self, at_s: float) -> Observation:
        """Observe now. Blocks for some milliseconds."""
        applications = self._client.get_serve_details()["applications"]
        details = applications[self._application]["deployments"]
        states = {name: details[name.title()] for name in self._families}
        untyped: Any = ray
        nodes, there = untyped.nodes(), _gpus(untyped.cluster_resources())
        free = _gpus(untyped.available_resources())
        made = Observation(
            at_s,
            nodes=len([each for each in nodes if each["Alive"] and each["Resources"].get("GPU")]),
            gpus=there,
            gpus_in_use=there - free,
            running={name: _running(state) for name, state in states.items()},
            wanted={name: state["target_num_replicas"] for name, state in states.items()},
            decisions={
                name: decision
                for name in self._families
                if (decision := self._decisions.get(name.title())) is not None
            },
        )
        self.seen.append(made)
        return made


def _running(state: dict[str, Any]) -> int:
    return sum(1 for replica in state["replicas"] if replica["state"] == "RUNNING")


def _gpus(resources: Any) -> float:
    return float(resources.get("GPU", 0.0))
