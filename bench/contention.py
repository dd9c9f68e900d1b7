"""What a bound on the batches of a flood costs, in virtual time: ``python -m bench.contention``.

One key sends one short text at a time and pauses; a second one floods the same model. The real
scheduler and forward time model form batches for a simulated model, as in ``bench.schedules``.
Shown are the first key's mean latency as a multiple of that beside a key that sends as much, and
the flood's throughput as a multiple of that without the first key. Each constant of
``deployments/batching/tuning.py`` that bounds batches beside other keys is replaced in turn.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from statistics import mean

import click

from bench.pairs import table
from bench.schedules import Machine, changed
from deployments.batching import contention
from deployments.batching.forward_time import ForwardTimeModel
from deployments.batching.scheduler import BatchLimits, BatchScheduler, QueuedItem, QueuedRequest
from deployments.models.fair_shares import Owner

SHOP, OTHER = Owner("shop", ""), Owner("other", "")
TOKENS = 8
PAUSE_S = 0.25
REQUESTS = 60
OUTSIDE_S = 0.004
"""HTTP, the way to the replica, tokenizing."""

MACHINES = {
    "sentiment, Xeon": Machine(0.009, 0.00014),
    "sentiment, EPYC": Machine(0.007, 0.0004),
    "MiniLM, Xeon": Machine(0.0042, 0.000075),
    "GPU": Machine(0.005, 2e-6),
}
"""The embedded encoders on two cores, as their shortest forwards are; the GPU is made up."""


@dataclass(frozen=True)
class Client:
    """Sends ``texts``, and again ``pause_s`` after the answer, half as much more or less."""

    owner: Owner
    texts: int = 1
    pause_s: float = 0.0


@dataclass
class Simulation:
    """One model with its queue and its clients, on a clock that its forwards move."""

    machine: Machine
    loop: asyncio.AbstractEventLoop
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    queue: BatchScheduler[Client, None] = field(default_factory=BatchScheduler)
    model: ForwardTimeModel = field(default_factory=ForwardTimeModel)
    now: float = 0.0
    latencies: list[float] = field(default_factory=list)
    flooded: int = 0
    _numbers: count[int] = field(default_factory=count)
    _coming: list[tuple[float, int, Client]] = field(default_factory=list)

    def run(self, clients: list[Client], seconds: float) -> Simulation:
        for volume in (TOKENS, 32 * TOKENS):
            self.model.learn(volume, self.machine.fixed_s + self.machine.per_token_s * volume)
        for client in clients:
            self._send(client, self.dice.random() * PAUSE_S)
        while self.now < seconds:
            self._forward()
        return self

    def _forward(self) -> None:
        self._queue_what_came(self.now)
        batch = self.queue.next_batch(BatchLimits(), self.model, self.now)
        if batch is None:
            self.now = self._coming[0][0]
            return
        took = self.machine.seconds(batch.volume, self.dice)
        self._queue_what_came(self.now + took)
        self.now += took
        self.model.learn(batch.volume, took)
        self.queue.finished(batch)
        for item in batch.items:
            if item.item.owner == SHOP:
                self.latencies.append(self.now - item.queued_at + OUTSIDE_S)
            else:
                self.flooded += 1
        senders = {item.request: item.item for item in batch.items}
        for request, client in senders.items():
            if not request.items:  # all were answered
                pause_s = client.pause_s * self.dice.uniform(0.5, 1.5)
                self._send(client, self.now + OUTSIDE_S + pause_s)

    def _queue_what_came(self, until: float) -> None:
        while self._coming and self._coming[0][0] <= until:
            at, _, client = heapq.heappop(self._coming)
            request = QueuedRequest(owner=client.owner)
            for _ in range(client.texts):
                result = self.loop.create_future()
                self.queue.add(QueuedItem(client, TOKENS, None, request, result, at))

    def _send(self, client: Client, at: float) -> None:
        heapq.heappush(self._coming, (at, next(self._numbers), client))


def shop(pause_s: float) -> Client:
    return Client(SHOP, pause_s=pause_s)


CLIENTS = {
    "4 clients": [Client(OTHER)] * 4,
    "64 clients": [Client(OTHER)] * 64,
    "4 clients, lists of 64": [Client(OTHER, texts=64)] * 4,
}
SCENARIOS = [(name, PAUSE_S) for name in CLIENTS] + [("4 clients, lists of 64", 1.0)]

CHANGES: list[tuple[str, list[float]]] = [
    ("CONTENDED_FACTOR", [2.0]),
    ("CONTENDED_FIXED_TIMES", [0.0, 1.75, 2.0, 3.0]),
    ("CONTENDED_PART", [0.0, 1 / 16]),
]


def figures(
    machine: Machine, flood: str, pause_s: float, loop: asyncio.AbstractEventLoop
) -> tuple[float, float]:
    """The shop's latency by its equal's, and the flood's texts/s by those without the shop."""
    seconds = REQUESTS * pause_s
    beside = Simulation(machine, loop).run([shop(pause_s), *CLIENTS[flood]], seconds)
    equal, alone = _references(machine, flood, pause_s, loop)
    return mean(beside.latencies) / equal, beside.flooded / seconds / alone


@cache
def _references(
    machine: Machine, flood: str, pause_s: float, loop: asyncio.AbstractEventLoop
) -> tuple[float, float]:
    other = Client(OTHER, pause_s=pause_s)
    equal = Simulation(machine, loop).run([shop(pause_s), other], REQUESTS * pause_s)
    alone = Simulation(machine, loop).run(CLIENTS[flood], 5.0)
    return mean(equal.latencies), alone.flooded / 5.0


def row(name: str, machine: Machine, loop: asyncio.AbstractEventLoop) -> list[str]:
    found = [figures(machine, *scenario, loop) for scenario in SCENARIOS]
    return [name, *(f"{latency:.2f} {rate:.2f}" for latency, rate in found)]


@click.command()
def main() -> None:
    """Latency beside a flood, and the flood's throughput, by constant."""
    loop = asyncio.new_event_loop()
    heads = [f"{flood}; pauses of {pause_s:g} s" for flood, pause_s in SCENARIOS]
    for name, machine in MACHINES.items():
        rows = [row("as it is", machine, loop)]
        for constant, values in CHANGES:
            for value in values:
                with changed(contention, constant, value):
                    rows.append(row(f"{constant} = {value:.3g}", machine, loop))
        about = f"{machine.fixed_s * 1000:g} ms and {machine.per_token_s * 1000:g} ms a token"
        click.echo(table([f"{name}: {about}", *heads], rows) + "\n")
    loop.close()


if __name__ == "__main__":
    main()
