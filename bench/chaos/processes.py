"""The processes of a running graph by the part that they are of, and what is done to them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import psutil

GONE_S = 5.0


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
    GCS = "gcs_server --log_dir"
    POSTGRESQL = "postgres -D"


@dataclass(frozen=True)
class ProcessStart:
    """What it takes to start a process in the way in which it was started before."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    user: int
    group: int

    @classmethod
    def of(cls, process: psutil.Process) -> ProcessStart:
        """That of a process that runs."""
        return cls(
            process.cmdline(),
            process.environ(),
            process.cwd(),
            process.uids().real,
            process.gids().real,
        )

    def again(self) -> subprocess.Popen[bytes]:
        """Start it as a child of this process."""
        is_other = self.user != os.getuid()
        return subprocess.Popen(
            self.command,
            env=self.environment,
            cwd=self.directory,
            user=self.user if is_other else None,
            group=self.group if is_other else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def of_part(part: Part) -> list[psutil.Process]:
    """The processes of a part, below this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if part in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill(part: Part) -> list[ProcessStart]:
    """End all processes of a part as `kill -9` does; returns how they had been started.

    Children of this process are collected: PostgreSQL takes one that is not for running, and does
    not start beside it.
    """
    killed, children = [], []
    for process in of_part(part):
        with contextlib.suppress(psutil.NoSuchProcess):
            start = ProcessStart.of(process)
            if process.ppid() == os.getpid():
                children.append(process)
            process.kill()
            killed.append(start)
    psutil.wait_procs(children, GONE_S)
    return killed


def suspend(part: Part) -> int:
    """Stop all processes of a part by SIGSTOP; returns how many there were.

    Each of them lives and keeps its connections, and none of its threads runs any more.
    """
    found = of_part(part)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    return len(found)
