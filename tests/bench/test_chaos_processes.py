"""Processes of a part: killed, started again as they were, suspended, and the events that do it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import httpx
import psutil
import pytest

from bench.chaos.disk import SmallDisk
from bench.chaos.events import Event, Kill, Scenario, StartAgain, Stores, Suspend
from bench.chaos.graph import BrokenGraph
from bench.chaos.processes import Part, kill, of_part, suspend
from bench.chaos.running import NothingToBreak, ScenarioRun
from bench.chaos.scenarios import SCENARIOS
from serve_app.launcher.dashboard import Dashboard

LIMIT_S = 20.0
NOBODY = cast("Part", "a process that is not there")
"""The graph of other tests runs below this process: none of its parts may be named here."""
PROGRAM = """
import os, sys, time
with open("started", "a") as file:
    file.write(os.environ["OF_ITS_OWN"] + chr(10))
time.sleep(60)
"""


def until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture
def part(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like one of PostgreSQL, and writes a line whenever it is started."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Part.POSTGRESQL)],
        cwd=tmp_path,
        env={"OF_ITS_OWN": "a value"},
    )
    until(lambda: starts(tmp_path) == ["a value"])
    yield process
    for each in of_part(Part.POSTGRESQL):
        each.kill()
    process.wait()


def starts(folder: Path) -> list[str]:
    file = folder / "started"
    return file.read_text().splitlines() if file.exists() else []


def test_a_killed_process_is_started_again_as_it_was(
    part: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (start,) = kill(Part.POSTGRESQL)
    assert not psutil.pid_exists(part.pid)
    assert of_part(Part.POSTGRESQL) == []
    with start.again() as again:
        until(lambda: starts(tmp_path) == ["a value", "a value"])
        assert [each.pid for each in of_part(Part.POSTGRESQL)] == [again.pid]
        again.kill()


def test_a_suspended_process_lives_and_does_nothing(part: subprocess.Popen[bytes]) -> None:
    assert suspend(Part.POSTGRESQL) == 1
    until(lambda: psutil.Process(part.pid).status() == psutil.STATUS_STOPPED)
    assert part.poll() is None


async def happened(*events: Event) -> ScenarioRun:
    """A run of these events on a graph that answers every probe."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    dashboard = Dashboard("http://test", None)
    graph = BrokenGraph("http://test", 0, dashboard, {}, SmallDisk(Path(), False))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        run = ScenarioRun(graph, client, {}, {}, Scenario("one", events))
        outcome = await run.run()
    assert outcome.passed
    assert len(outcome.recoveries_s) == len(events)
    return run


async def test_events_kill_a_part_and_start_it_again(
    part: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    run = await happened(Kill(Part.POSTGRESQL), StartAgain(Part.POSTGRESQL))
    assert not psutil.pid_exists(part.pid)
    until(lambda: starts(tmp_path) == ["a value", "a value"])
    for started in run.started:
        started.kill()
        started.wait()


async def test_an_event_suspends_a_part(part: subprocess.Popen[bytes]) -> None:
    await happened(Suspend(Part.POSTGRESQL))
    until(lambda: psutil.Process(part.pid).status() == psutil.STATUS_STOPPED)


@pytest.mark.parametrize("event", [Kill(NOBODY), Suspend(NOBODY)])
async def test_a_part_that_is_not_there_fails_the_scenario(event: Event) -> None:
    with pytest.raises(NothingToBreak, match=NOBODY):
        await happened(event)


def test_scenarios_start_again_what_they_killed_and_break_what_their_graph_has() -> None:
    of_stores = {Part.POSTGRESQL: Stores.POSTGRESQL, Part.GCS: Stores.REDIS}
    for scenario in SCENARIOS:
        killed = set[Part]()
        for event in scenario.events:
            if isinstance(event, Kill):
                killed.add(event.part)
                assert of_stores.get(event.part, scenario.stores) is scenario.stores
            elif isinstance(event, StartAgain):
                killed.remove(event.part)
        assert killed.isdisjoint(of_stores), f"{scenario.name} leaves a store away"
