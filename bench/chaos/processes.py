"""The processes of a running graph by the part that they are of, and what is done to them."""

from __future__ import annotations

import contextlib
from enum import StrEnum

import psutil


class Part(StrEnum):
    """A part of the graph, as it is found in the command lines of its processes."""

    GENERATION = "ServeReplica:prsm:Generation"
    CLASSIFICATION = "ServeReplica:prsm:Classification"
    INGRESS = "ServeReplica:prsm:Ingress"
    LEDGER = "ServeReplica:prsm:Ledger"
    CONTROLLER = "ServeController"
    HAPROXY = "haproxy -"
    TORCH_ENGINE = "deployments.engine.own_process.server"
    OPENVINO_ENGINE = "deployments.engine.openvino.process"


def of_part(launcher: int, part: Part) -> list[psutil.Process]:
    """The processes of a part, below the launcher's."""
    found = []
    for process in psutil.Process(launcher).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if part in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill(launcher: int, part: Part) -> int:
    """End all processes of a part as `kill -9` does; returns how many there were."""
    found = of_part(launcher, part)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(found)
