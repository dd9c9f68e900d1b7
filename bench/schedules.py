"""The effect of each batching constant, on a simulated clock: ``python -m bench.schedules``.

The real scheduler and forward time model form batches for a simulated model, whose forwards take a
fixed time and a time for each token, 20% more or less at random. It needs no quiet machine, and
gives the same figures every time. Each constant of ``deployments/batching/tuning.py`` that belongs
to them is replaced in turn; the table shows what that changes.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, quantiles

import click

from bench.pairs import table
from deployments.batching import batch, forward_time
from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.scheduler import BatchLimits, BatchScheduler, QueuedItem, QueuedRequest

SEEDS = range(8)
CLIENTS = 32
REQUESTS = 1500


@dataclass(frozen=True)
class Machine:
    """The time of a forward. One in ``pauses`` takes 20 times as long."""

    fixed_s: float
    per_token_s: float
    pauses: int = 0

    def seconds(self, volume: int, dice: random.Random) -> float:
        usual = (self.fixed_s + self.per_token_s * volume) * dice.uniform(0.8, 1.2)
        is_pause = self.pauses and int(self.pauses * dice.random()) == 0
        return 20 * usual if is_pause else usual


CPU = Machine(0.008, 0.0002)
"""A small encoder on two cores."""


@dataclass
class Simulation:
    """One model with its queue, on a clock that only its forwards move."""

    machine: Machine
    dice: random.Random
    loop: asyncio.AbstractEventLoop
    queue: BatchScheduler[float, None] = field(default_factory=BatchScheduler)
    model: ForwardTimeModel = field(default_factory=ForwardTimeModel)
    now: float = 0.0

    def ask(self, sizes: list[int], at: float) -> None:
        request = QueuedRequest()
        for size in sizes:
            self.queue.add(QueuedItem(at, size, None, request, self.loop.create_future(), at))

    def run(self) -> list[QueuedItem[float, None]]:
        """One forward; the items that it answers."""
        batch = self.queue.next_batch(BatchLimits(), self.model, self.now)
        if batch is None:
            return []
        took = self.machine.seconds(batch.volume, self.dice)
        self.now += took
        self.model.learn(batch.volume, took)
        self.queue.finished(batch)
        return batch.items


def mixed(dice: random.Random) -> int:
    """A length from 5 to 250 tokens."""
    return int(5 * 50 ** dice.random())


def short(dice: random.Random) -> int:
    return 10


def closed_loop(run: Simulation, length: Callable[[random.Random], int]) -> tuple[float, float]:
    """Requests/s and p99 seconds of clients that ask again as soon as they are answered."""
    for _ in range(CLIENTS):
        run.ask([length(run.dice)], 0.0)
    waits: list[float] = []
    while len(waits) < REQUESTS:
        answered = run.run()
        waits += [run.now - item.item for item in answered]
        for _ in answered:
            run.ask([length(run.dice)], run.now)
    return len(waits) / run.now, quantiles(waits, n=100)[98]


def arrivals(run: Simulation) -> tuple[float, float]:
    """Requests/s and p99 seconds of 64 requests that come 10 ms apart, as in ``bench.lane``."""
    coming = deque(0.01 * number for number in range(64))
    waits: list[float] = []
    while coming or len(run.queue):
        if not len(run.queue):
            run.now = max(run.now, coming[0])
        while coming and coming[0] <= run.now:
            run.ask([10], coming.popleft())
        waits += [run.now - item.item for item in run.run()]
    return len(waits) / run.now, quantiles(waits, n=100)[98]


def beside_lists(run: Simulation) -> tuple[float, float]:
    """Texts/s of lists of 512, and p99 seconds of single queries beside them."""
    texts, waits, query_due = 0, list[float](), 0.0
    for _ in range(2):
        run.ask([mixed(run.dice) for _ in range(512)], -1.0)
    while answered := run.run():
        waits += [run.now - item.item for item in answered if item.item >= 0]
        texts += sum(item.item < 0 for item in answered)
        if texts < 1000 and run.now >= query_due:
            run.ask([10], run.now - run.dice.random() * 0.05)
            query_due = run.now + 0.05
    return texts / run.now, quantiles(waits, n=100)[98]


SCENARIOS: dict[str, tuple[Machine, Callable[[Simulation], tuple[float, float]]]] = {
    "32 clients, mixed": (CPU, lambda run: closed_loop(run, mixed)),
    "the same on a GPU": (Machine(0.005, 2e-6), lambda run: closed_loop(run, mixed)),
    "no fixed time": (Machine(0.0, 2e-4), lambda run: closed_loop(run, mixed)),
    "pauses": (Machine(0.008, 2e-4, pauses=50), lambda run: closed_loop(run, mixed)),
    "32 clients, 10 tokens": (CPU, lambda run: closed_loop(run, short)),
    "200 ms a forward": (Machine(0.2, 0.0), arrivals),
    "query beside lists": (CPU, beside_lists),
}

CHANGES: list[tuple[object, str, list[float]]] = [
    (batch, "MAX_TIME_FACTOR", [1.0, 4.0]),
    (batch, "UNMEASURED_PADDING", [0.0, 1.0]),
    (forward_time, "REMEMBERED_FORWARDS", [10, 100]),
    (forward_time, "MAX_SURPRISE", [1.5, 1000.0]),
]


@contextmanager
def changed(module: object, name: str, value: float) -> Iterator[None]:
    """``name`` of ``module`` is ``value`` while the block runs."""
    usual = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, usual)


def figures() -> dict[str, tuple[float, float]]:
    """Means of the seeds: rate, and p99 in milliseconds, of each scenario."""
    loop = asyncio.new_event_loop()
    found = {}
    for name, (machine, scenario) in SCENARIOS.items():
        runs = [scenario(Simulation(machine, random.Random(seed), loop)) for seed in SEEDS]
        found[name] = mean(rate for rate, _ in runs), 1000 * mean(p99 for _, p99 in runs)
    loop.close()
    return found


@click.command()
def main() -> None:
    """Rates and p99 by constant, each as it is and as it could be."""
    usual = figures()
    rows = [[name, f"{rate:.0f}", f"{p99:.0f}"] for name, (rate, p99) in usual.items()]
    click.echo(table(["as it is", "texts/s", "p99, ms"], rows))
    rows = []
    for module, name, values in CHANGES:
        for value in values:
            with changed(module, name, value):
                found = figures()
            cells = [
                f"{found[each][0] / usual[each][0]:.2f} {found[each][1] / usual[each][1]:.2f}"
                for each in SCENARIOS
            ]
            rows.append([f"{name} = {value:g}", *cells])
    click.echo("\nRate and p99 with another value, as a multiple of those:\n")
    click.echo(table(["", *SCENARIOS], rows))


if __name__ == "__main__":
    main()
