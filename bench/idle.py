"""What the processes of a graph take while nobody asks: ``python -m bench.idle``.

Watches the newest graph that ``prsm-serve up`` runs on this machine, and prints what each part took
of one core, by the kernel's count of processor time. Send it nothing meanwhile, and wait for half a
minute after its start.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import click
import psutil

from bench.neighbours import Neighbours
from bench.neighbours import shares as of_others
from bench.pairs import machine, table
from bench.parts_watch import OTHERS, part_of
from serve_app.launcher import processes, runs

RAYS_PARTS = {
    "ray::ProxyActor": "fallback proxy",
    "ray::HAProxyManager": "HAProxy's manager",
    "ray::DashboardAgent": "the node's agents",
    "ray::RuntimeEnvAgent": "the node's agents",
    "dashboard/dashboard.py": "dashboard",
    "ray-dashboard-": "dashboard's modules",
    "log_monitor.py": "log monitor",
    "monitor.py": "autoscaler's monitor",
    "ray_head_main": "launcher",
    "prsm-serve": "launcher",
}
"""Parts of Ray, which a soak puts together, and the launcher."""


@dataclass(frozen=True)
class ProcessTime:
    """The part that a process belongs to, and the seconds that a core has computed for it."""

    part: str
    seconds: float


def idle_part_of(command: str) -> str:
    """The part that a process with this command line belongs to."""
    part = part_of(command)
    if part != OTHERS:
        return part
    return next((name for mark, name in RAYS_PARTS.items() if mark in command), OTHERS)


def times(found: Iterable[psutil.Process]) -> dict[int, ProcessTime]:
    """What each process has taken so far, by its id."""
    taken = {}
    for process in found:
        with contextlib.suppress(psutil.Error):
            used = process.cpu_times()
            part = idle_part_of(" ".join(process.cmdline()))
            taken[process.pid] = ProcessTime(part, used.user + used.system)
    return taken


def shares(
    before: Mapping[int, ProcessTime], after: Mapping[int, ProcessTime], seconds: float
) -> dict[str, tuple[int, float]]:
    """The processes of each part, and what they took of one core, the largest first.

    A process that started meanwhile counts from its start, one that ended does not count.
    """
    found: dict[str, tuple[int, float]] = {}
    for pid, now in after.items():
        count, share = found.get(now.part, (0, 0.0))
        taken = now.seconds - (before[pid].seconds if pid in before else 0.0)
        found[now.part] = count + 1, share + taken / seconds
    return dict(sorted(found.items(), key=lambda each: -each[1][1]))


@click.command()
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(1, 3600))
def main(seconds: int) -> None:
    """What each part of a running graph takes of one core while nobody asks it anything."""
    live = runs.live(runs.base_directory())
    if not live:
        raise click.ClickException("no graph of this user runs here: prsm-serve up starts one")
    run = live[0]
    own = [*processes.marked(run.id), psutil.Process(run.launcher_pid)]
    began, clock, before = time.monotonic(), psutil.cpu_times(), times(own)
    time.sleep(seconds)
    after, took = times(own), time.monotonic() - began
    found = shares(before, after, took)
    total = sum(share for _, share in found.values())
    others = Neighbours(*of_others(clock, psutil.cpu_times(), total * took))
    click.echo(f"{machine()}. {others}\n")
    rows = [[part, f"{count}", f"{share:.2%}"] for part, (count, share) in found.items()]
    rows.append(["**all**", f"{len(after)}", f"**{total:.2%}**"])
    click.echo(table(["part", "processes", "of one core"], rows))


if __name__ == "__main__":
    main()
