"""Two machines in one: network namespaces with a cable between them, and a Ray node in each.

Each node has its own loopback, ports and ``/tmp/ray``, as pods and machines have; processes and
files are otherwise shared. Needs root, `ip` and `unshare`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NETWORK, OUTSIDE = "10.77.0", "10.78.0"
CLONE_NEWNET = 0x40000000
STOP_LIMIT_S = 120.0
OWN_SESSIONS = 'mount -t tmpfs tmpfs /tmp/ray && exec "$@"'
Answer = TypeVar("Answer")


CONVERSATIONS = "serve_app.ingress.routes.conversations:router"


def without_conversations(content: dict[str, Any]) -> None:
    """Drop their routes from a profile: on several nodes they need a PostgreSQL database."""
    for family in content["families"]:
        family["routers"] = [each for each in family["routers"] if each != CONVERSATIONS]


def problem() -> str | None:
    """Why there can be no namespaces here."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "unshare", "ss") if not shutil.which(name)]
    return f"{', '.join(missing)}: not installed" if missing else None


@dataclass(frozen=True)
class Machine:
    """A network namespace with an address."""

    namespace: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """The command that runs another one inside."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def inside(self, call: Callable[[], Answer]) -> Answer:
        """What ``call`` returns when its sockets are of this namespace."""
        with ThreadPoolExecutor(1, initializer=self._enter) as thread:
            return thread.submit(call).result()

    def _enter(self) -> None:
        with self.file.open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.namespace}")

    @property
    def file(self) -> Path:
        return Path("/run/netns") / self.namespace

    @property
    def processes(self) -> set[int]:
        """The processes whose network is this one."""
        listed = _output("ip", "netns", "pids", self.namespace)
        return {int(pid) for pid in listed.split()}

    @property
    def listening(self) -> set[int]:
        """The TCP ports that others reach."""
        lines = _output(*self.command("ss", "--listening", "--tcp", "--numeric", "--no-header"))
        ends = [line.split()[3].rpartition(":") for line in lines.splitlines()]
        loopback = ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]")
        return {int(port) for address, _, port in ends if address not in loopback}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def machines(name: str) -> Iterator[tuple[Machine, Machine]]:
    """Two machines that reach each other and nothing else."""
    both = Machine(f"{name}-a", f"{NETWORK}.1"), Machine(f"{name}-b", f"{NETWORK}.2")
    ends = [f"{name}a", f"{name}b"]
    try:
        for machine in both:
            _output("ip", "netns", "add", machine.namespace)
        (a, b), (one, other) = ends, both
        _output("ip", "link", "add", a, "netns", one.namespace, "type", "veth",
                "peer", "name", b, "netns", other.namespace)  # fmt: skip
        for end, machine in zip(ends, both, strict=True):
            ip = ("ip", "-n", machine.namespace)
            _output(*ip, "addr", "add", f"{machine.address}/24", "dev", end)
            for device in ("lo", end):
                _output(*ip, "link", "set", device, "up")
        yield both
    finally:
        for machine in both:
            subprocess.run(["ip", "netns", "del", machine.namespace], check=False)


@contextmanager
def plugged_in(machine: Machine) -> Iterator[str]:
    """Another cable, from this machine to a namespace; the address at which it is reached."""
    here, there = f"{machine.namespace}h", f"{machine.namespace}t"
    in_namespace = ("ip", "-n", machine.namespace)
    _output("ip", "link", "add", here, "type", "veth",
            "peer", "name", there, "netns", machine.namespace)  # fmt: skip
    try:
        _output("ip", "addr", "add", f"{OUTSIDE}.1/24", "dev", here)
        _output("ip", "link", "set", here, "up")
        _output(*in_namespace, "addr", "add", f"{OUTSIDE}.2/24", "dev", there)
        _output(*in_namespace, "link", "set", there, "up")
        yield f"{OUTSIDE}.2"
    finally:
        subprocess.run(["ip", "link", "del", here], check=False)


@dataclass(frozen=True)
class RayNode:
    """`prsm-serve node -- ray start … --block` on a machine, with its output in ``log``."""

    machine: Machine
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """Send SIGTERM to it alone, as a machine that shuts down does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_LIMIT_S)


@contextmanager
def ray_node(
    machine: Machine, profile: Path, log: Path, environment: dict[str, str], *options: str
) -> Iterator[RayNode]:
    """A node of Ray, with ``options`` of `ray start`."""
    Path("/tmp/ray").mkdir(exist_ok=True)
    ray = [str(BIN / "ray"), "start", "--block", "--node-ip-address", machine.address, *options]
    node = [sys.executable, "-m", "serve_app.cli", "node", "--profile", str(profile), "--", *ray]
    command = machine.command("unshare", "--mount", "sh", "-c", OWN_SESSIONS, "sh", *node)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    running = RayNode(machine, process, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.stop()
        for pid in machine.processes:  # after a failure
            os.kill(pid, signal.SIGKILL)
