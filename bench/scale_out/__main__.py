"""Nodes and replicas that come under load and go after it: ``python -m bench.scale_out``.

A real Ray cluster on this machine, whose autoscaler starts nodes with GPUs that are made up; three
families whose forwards take time and compute nothing, behind the real ingress, lanes and policy.
Ends with 1 unless everything came about: no request failed, the hot family got its replicas, the
steady one did not wait for it, the sleeping one woke, and nodes and replicas went again.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import ray

from bench.pairs import machine, tell
from bench.peers.running import end_on_sigterm
from bench.scale_out.cluster import autoscaling_cluster
from bench.scale_out.plot import svg
from bench.scale_out.run import FAMILIES, HEADER, Outcome, Rates, deployed, scaled
from bench.scale_out.watch import Watch

MAX_NODES = 3


@click.command()
@click.option("--hot-rate", type=float, default=30.0, help="Requests a second of the hot family.")
@click.option("--hot-seconds", type=float, default=65.0, help="For how long they come.")
@click.option("--plot", type=click.Path(path_type=Path), help="Where to write the SVG.")
@click.option("--keep-logs", type=click.Path(path_type=Path), help="Where to leave Ray's logs.")
def main(hot_rate: float, hot_seconds: float, plot: Path | None, keep_logs: Path | None) -> None:
    """Run it, print what happens every two seconds, and a summary."""
    end_on_sigterm()
    tell(machine())
    with autoscaling_cluster(MAX_NODES, cpus=4, gpus=1, logs=keep_logs) as address:
        try:
            url, client, application = deployed(address)
            tell(HEADER)
            watch = Watch(client, application, FAMILIES)
            outcome = asyncio.run(scaled(url, watch, Rates(hot=hot_rate), hot_seconds, tell))
        finally:
            ray.shutdown()  # it hangs at the end of this process if the cluster has ended before
    if plot is not None:
        plot.write_text(svg(outcome), encoding="utf-8")
    sys.exit(1 if summed_up(outcome) else 0)


def summed_up(outcome: Outcome) -> list[str]:
    """Print what became of the run; returns what did not come about."""
    load, (alone, beside) = outcome.load, outcome.waking_s
    sent = ", ".join(f"{count} {name}" for name, count in load.sent.items())
    before, during = outcome.steady_p95(hot=False), outcome.steady_p95(hot=True)
    tell(f"requests: {len(load.answered)} ({sent}), failed: {len(load.failures)}")
    tell(f"most replicas: {outcome.most_replicas}, most nodes: {outcome.most_nodes}")
    tell(f"most GPUs in use: {max(each.gpus_in_use for each in outcome.seen):g}")
    tell(
        f"waking: {alone:.1f} s, beside the hot family {beside:.1f} s; "
        f"awake {outcome.awake_s:.2f} s"
    )
    tell(f"steady p95: {before:.2f} s before, {during:.2f} s beside the hot family")
    for failure in load.failures[:5]:
        tell(f"failed: {failure}")
    wrong = {
        "requests failed": bool(load.failures),
        "the hot family did not get four replicas": outcome.most_replicas["hot"] < 4,
        "nothing bound the hot family": outcome.bound.get("hot", "nothing") == "nothing",
        "no second node came": outcome.most_nodes < 2,
        "the sleeping family did not sleep again": not outcome.slept_again,
        "replicas or nodes stayed": not outcome.calm_again,
    }
    problems = [problem for problem, true in wrong.items() if true]
    tell("; ".join(problems) or "everything came about")
    return problems


if __name__ == "__main__":
    main()
