"""Runs a scenario against the graph, and says what became of its streams."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from subprocess import Popen

import httpx

from bench.changes import settled
from bench.chaos import bad_clients, processes
from bench.chaos.events import (
    Begin,
    Change,
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
    Suspend,
    Wait,
)
from bench.chaos.graph import PACED, BrokenGraph
from bench.chaos.processes import Part, ProcessStart
from bench.chaos.reading import Ending, Refusal, StreamAnswer, read
from bench.chaos.requests import CHAT
from bench.pairs import tell

LIMIT_S = 400.0
POLL_S = 0.05
PROBE_PAUSE_S = 0.5
PROBE = {"model": PACED, "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}


class NothingToBreak(RuntimeError):
    """A scenario found no process of the part that it is to kill or to suspend."""


@dataclass
class Outcome:
    """What a scenario did to its streams."""

    scenario: Scenario
    answers: list[StreamAnswer] = field(default_factory=list)
    wholes: list[StreamAnswer] = field(default_factory=list)
    recoveries_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def same(self) -> int:
        return sum(each.same_as(whole) for each, whole in self._pairs)

    @property
    def altered(self) -> list[StreamAnswer]:
        """Streams that went on to a wrong text, or had one before they were lost."""
        return [
            each
            for each, whole in self._pairs
            if (each.ending is Ending.WHOLE and not each.same_as(whole)) or not each.begins(whole)
        ]

    @property
    def endings(self) -> Counter[Ending | None]:
        return Counter(each.ending for each in self.answers)

    @property
    def lost(self) -> int:
        return sum(each.is_lost for each in self.answers)

    @property
    def passed(self) -> bool:
        return (
            not self.altered
            and self.lost <= self.scenario.max_lost
            and not self.endings[Ending.SILENT]
            and max(self.recoveries_s, default=0.0) <= self.scenario.recovery_s
        )

    @property
    def _pairs(self) -> list[tuple[StreamAnswer, StreamAnswer]]:
        return list(zip(self.answers, self.wholes, strict=True))

    def row(self) -> list[str]:
        """Its row of the table."""
        slowest = f"{max(self.recoveries_s):.1f}" if self.recoveries_s else "–"
        endings = self.endings
        return [
            self.scenario.name,
            str(len(self.answers)),
            str(self.same),
            f"**{len(self.altered)}**",
            str(endings[Ending.REFUSED]),
            str(endings[Ending.CUT]),
            str(endings[Ending.SILENT]),
            slowest,
            f"{self.seconds:.0f}",
            "yes" if self.passed else "**no**",
        ]


TITLES = [
    *("scenario", "streams", "the same", "altered", "errors", "cut", "silent"),
    *("s to the next answer", "s in all", "passed"),
]


class ScenarioRun:
    """One scenario on the graph. ``wholes`` are the undisturbed answers of each load."""

    def __init__(
        self,
        graph: BrokenGraph,
        client: httpx.AsyncClient,
        loads: Loads,
        wholes: dict[str, list[StreamAnswer]],
        scenario: Scenario,
    ) -> None:
        self._graph = graph
        self._client = client
        self._loads = loads
        self._wholes = wholes
        self._outcome = Outcome(scenario)
        self._streams: list[asyncio.Task[None]] = []
        self._probes: list[asyncio.Task[float]] = []
        self._bad_clients: list[asyncio.Task[None]] = []
        self._killed: dict[Part, list[ProcessStart]] = {}
        self.started: list[Popen[bytes]] = []

    async def run(self) -> Outcome:
        """Every event, until a new request has been answered after each fault."""
        outcome, began = self._outcome, time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                for event in outcome.scenario.events:
                    await self._happen(event)
                outcome.recoveries_s = [await probe for probe in self._probes]
                outcome.seconds = time.monotonic() - began
        finally:
            for task in (*self._streams, *self._probes, *self._bad_clients):
                task.cancel()
        return outcome

    async def _happen(self, event: Event) -> None:
        match event:
            case Begin(load, allowed):
                self._begin(load, allowed)
            case Reached(share):
                wanted = share * sum(each.count for each in self._outcome.wholes)
                while sum(each.count for each in self._outcome.answers) < wanted:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Kill(part):
                self._killed[part] = processes.kill(part)
                self._broken(part, "killed", len(self._killed[part]))
            case Suspend(part):
                self._broken(part, "suspended", processes.suspend(part))
            case StartAgain(part):
                self.started += [each.again() for each in self._killed.pop(part)]
                self._probe()
            case Change(edit):
                edit(self._graph.config)
                await asyncio.to_thread(self._graph.dashboard.deploy, self._graph.config)
                if self._streams:
                    self._probe()
                else:
                    await settled(self._graph.dashboard)
            case Misbehave(clients):
                requests = self._loads[next(iter(self._loads))][:clients]
                self._bad_clients += bad_clients.begin(self._graph.url, requests)
            case FillDisk():
                self._graph.disk.fill()
            case FreeDisk():
                self._graph.disk.free()
            case Finish():
                await asyncio.gather(*self._streams)

    def _broken(self, part: Part, how: str, processes_of_it: int) -> None:
        if not processes_of_it:
            raise NothingToBreak(part)
        tell(f"  {how} {processes_of_it} of {part}")
        self._probe()

    def _begin(self, load: str, allowed: Refusal | None) -> None:
        answers = [StreamAnswer(request, allowed) for request in self._loads[load]]
        self._outcome.answers += answers
        self._outcome.wholes += self._wholes.get(load, [])
        self._streams += [asyncio.create_task(read(self._client, each)) for each in answers]

    def _probe(self) -> None:
        self._probes.append(asyncio.create_task(self._recovered()))

    async def _recovered(self) -> float:
        """Seconds until a request that was sent after the fault has its answer."""
        began = time.monotonic()
        while True:
            try:
                answer = await self._client.post(CHAT, json=PROBE)
                if answer.status_code == 200:
                    return time.monotonic() - began
            except httpx.TransportError:
                pass
            await asyncio.sleep(PROBE_PAUSE_S)


async def undisturbed(client: httpx.AsyncClient, loads: Loads, load: str) -> list[StreamAnswer]:
    """The answers of a load while nothing happens. Raises ``RuntimeError`` unless all are whole."""
    answers = [StreamAnswer(request) for request in loads[load]]
    await asyncio.gather(*(read(client, each) for each in answers))
    for each in answers:
        if each.ending is not Ending.WHOLE:
            raise RuntimeError(f"{each.request.kind}: {each.ending} {each.detail}")
    return answers
