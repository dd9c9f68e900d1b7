"""Who waits for a grammar's trial, who shares one, and what ends when they leave."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from asyncio import Task

import pytest

from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.grammar.trial import Trial
from deployments.engine.grammar.trial_queue import AT_ONCE, MOST_WAITING, TooManyTrials, Trials
from deployments.seam.generation import Grammar
from tests.deployments.puppet_trials import PATIENCE_S, Court


@pytest.fixture
async def court() -> Court:
    return Court()


@pytest.fixture
async def trials(court: Court) -> Trials:
    return Trials(court.trial)


def some(count: int, first: int = 0) -> list[Grammar]:
    return [Grammar("regex", f"{number}") for number in range(first, first + count)]


def asking(trials: Trials, *grammars: Grammar) -> list[Task[None]]:
    """One asker each; they begin to ask in this order, before whoever asks after the next await."""
    return [asyncio.create_task(trials.admit(grammar)) for grammar in grammars]


async def leave(*askers: Task[None]) -> None:
    for asker in askers:
        asker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asker


async def admitted(*askers: Task[None]) -> None:
    await asyncio.wait_for(asyncio.gather(*askers), PATIENCE_S)


async def test_a_grammar_is_tried_out_once(trials: Trials, court: Court) -> None:
    good, bad = some(2)
    askers = asking(trials, good, bad)
    (await court.next()).tell()
    (await court.next()).tell("error: no such thing")
    with pytest.raises(ConstraintError, match=r"^no such thing$"):
        await admitted(*askers)
    await trials.admit(good)
    with pytest.raises(ConstraintError, match=r"^no such thing$"):
        await trials.admit(bad)
    assert court.idle


async def test_those_who_ask_for_the_same_share_a_trial(trials: Trials, court: Court) -> None:
    (grammar,) = some(1)
    askers = asking(trials, *[grammar] * 5)
    (await court.next()).tell()
    await admitted(*askers)
    assert court.idle


async def test_what_is_known_waits_for_no_other(trials: Trials, court: Court) -> None:
    known, *others = some(1 + AT_ONCE + MOST_WAITING)
    first = asking(trials, known)
    (await court.next()).tell()
    await admitted(*first)
    waiting = asking(trials, *others)
    running = [await court.next() for _ in range(AT_ONCE)]
    await asyncio.wait_for(trials.admit(known), PATIENCE_S)
    assert not any(trial.ended.is_set() for trial in running)
    await leave(*waiting)


async def test_no_more_than_a_few_run_and_wait(trials: Trials, court: Court) -> None:
    *taken, late = some(AT_ONCE + MOST_WAITING + 1)
    askers = asking(trials, *taken)
    (too_late,) = asking(trials, late)
    with pytest.raises(TooManyTrials, match="too many"):
        await too_late
    (sharing,) = asking(trials, taken[-1])
    for _ in taken[:-AT_ONCE]:
        (await court.next()).tell()
    last = [await court.next() for _ in range(AT_ONCE)]
    assert court.idle
    (again,) = asking(trials, late)
    for trial in last:
        trial.tell()
    (await court.next()).tell()
    await admitted(*askers, sharing, again)


async def test_at_most_two_run_at_a_time(trials: Trials, court: Court) -> None:
    grammars = some(AT_ONCE + 1)
    askers = asking(trials, *grammars)
    running = [await court.next() for _ in range(AT_ONCE)]
    assert court.idle
    running[0].tell()
    following = await court.next()
    assert following.is_of(grammars[-1])
    for trial in (running[1], following):
        trial.tell()
    await admitted(*askers)


async def test_a_trial_whose_asker_left_while_it_waited_never_begins(
    trials: Trials, court: Court
) -> None:
    *grammars, left, last = some(AT_ONCE + 2)
    askers = asking(trials, *grammars, left, last)
    running = [await court.next() for _ in range(AT_ONCE)]
    await leave(askers.pop(-2))
    running[0].tell()
    following = await court.next()
    assert following.is_of(last)
    for trial in (*running, following):
        trial.tell()
    await admitted(*askers)
    assert court.idle


async def test_whoever_leaves_the_queue_makes_room_in_it(trials: Trials, court: Court) -> None:
    grammars = some(AT_ONCE + MOST_WAITING)
    askers = asking(trials, *grammars)
    running = [await court.next() for _ in range(AT_ONCE)]
    await leave(*askers[AT_ONCE:])
    new = asking(trials, *some(MOST_WAITING, first=100))
    for trial in running:
        trial.tell()
    for _ in new:
        (await court.next()).tell()
    await admitted(*askers[:AT_ONCE], *new)


async def test_a_running_trial_ends_when_the_last_of_its_askers_leaves(
    trials: Trials, court: Court
) -> None:
    (grammar,) = some(1)
    first, second, third = asking(trials, *[grammar] * 3)
    running = await court.next()
    await leave(first, third)
    assert not running.ended.is_set()
    await leave(second)
    await asyncio.wait_for(running.ended.wait(), PATIENCE_S)


async def test_those_who_stay_get_their_answer(trials: Trials, court: Court) -> None:
    (grammar,) = some(1)
    first, second = asking(trials, *[grammar] * 2)
    running = await court.next()
    await leave(first)
    running.tell()
    await admitted(second)


async def test_a_trial_that_was_ended_is_no_verdict(trials: Trials, court: Court) -> None:
    """It is tried again for whoever asks next, even before its process is gone."""
    (grammar,) = some(1)
    (asker,) = asking(trials, grammar)
    await court.next()
    await leave(asker)
    (again,) = asking(trials, grammar)
    (await court.next()).tell()
    await admitted(again)


async def test_trials_that_end_early_leave_their_turn_to_others(
    trials: Trials, court: Court
) -> None:
    *left, last = some(AT_ONCE + 1)
    *leaving, staying = asking(trials, *left, last)
    for _ in left:
        await court.next()
    await leave(*leaving)
    following = await court.next()
    assert following.is_of(last)
    following.tell()
    await admitted(staying)


class Endless(Trial):
    """Its process does not end by itself."""

    def __init__(self) -> None:
        super().__init__("")
        self.started = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        forever = [sys.executable, "-c", "import signal; signal.pause()"]
        self.process = subprocess.Popen(forever, stdin=pipe, stdout=pipe, stderr=pipe)
        self.started.set()
        return self.process


async def test_ending_a_trial_kills_its_process() -> None:
    trial = Endless()
    running = asyncio.create_task(asyncio.to_thread(trial.run))
    assert await asyncio.to_thread(trial.started.wait, PATIENCE_S)
    trial.end()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(running, PATIENCE_S)
    assert trial.process is not None
    assert trial.process.returncode == -signal.SIGKILL


def test_a_trial_that_was_ended_before_has_no_process() -> None:
    trial = Endless()
    trial.end()
    with pytest.raises(TimeoutError):
        trial.run()
    assert trial.process is None


def test_a_trial_that_is_over_can_be_ended() -> None:
    trial = Trial('start: "a"')
    assert trial.run() == ""
    trial.end()
