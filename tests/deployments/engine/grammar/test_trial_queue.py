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
from deployments.engine.grammar.trial import GrammarTrial
from deployments.engine.grammar.trial_queue import GrammarTrials, TooManyTrials
from deployments.engine.tuning import MAX_RUNNING_TRIALS, MAX_WAITING_TRIALS
from deployments.seam.generation import Grammar
from tests.deployments.held_trials import PATIENCE_S, HeldTrials


@pytest.fixture
async def held() -> HeldTrials:
    return HeldTrials()


@pytest.fixture
async def trials(held: HeldTrials) -> GrammarTrials:
    return GrammarTrials(held.trial)


def some(count: int, first: int = 0) -> list[Grammar]:
    return [Grammar("regex", f"{number}") for number in range(first, first + count)]


def asking(trials: GrammarTrials, *grammars: Grammar) -> list[Task[None]]:
    """One asker each; they begin to ask in this order, before whoever asks after the next await."""
    return [asyncio.create_task(trials.check(grammar)) for grammar in grammars]


async def leave(*askers: Task[None]) -> None:
    for asker in askers:
        asker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asker


async def admitted(*askers: Task[None]) -> None:
    await asyncio.wait_for(asyncio.gather(*askers), PATIENCE_S)


async def test_a_grammar_is_tried_out_once(trials: GrammarTrials, held: HeldTrials) -> None:
    good, bad = some(2)
    askers = asking(trials, good, bad)
    (await held.next()).tell()
    (await held.next()).tell("error: no such thing")
    with pytest.raises(ConstraintError, match=r"^no such thing$"):
        await admitted(*askers)
    await trials.check(good)
    with pytest.raises(ConstraintError, match=r"^no such thing$"):
        await trials.check(bad)
    assert held.idle


async def test_those_who_ask_for_the_same_share_a_trial(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    (grammar,) = some(1)
    askers = asking(trials, *[grammar] * 5)
    (await held.next()).tell()
    await admitted(*askers)
    assert held.idle


async def test_what_is_known_waits_for_no_other(trials: GrammarTrials, held: HeldTrials) -> None:
    known, *others = some(1 + MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS)
    first = asking(trials, known)
    (await held.next()).tell()
    await admitted(*first)
    waiting = asking(trials, *others)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    await asyncio.wait_for(trials.check(known), PATIENCE_S)
    assert not any(trial.ended.is_set() for trial in running)
    await leave(*waiting)


async def test_no_more_than_a_few_run_and_wait(trials: GrammarTrials, held: HeldTrials) -> None:
    *taken, late = some(MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS + 1)
    askers = asking(trials, *taken)
    (too_late,) = asking(trials, late)
    with pytest.raises(TooManyTrials, match="too many"):
        await too_late
    (sharing,) = asking(trials, taken[-1])
    for _ in taken[:-MAX_RUNNING_TRIALS]:
        (await held.next()).tell()
    last = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    assert held.idle
    (again,) = asking(trials, late)
    for trial in last:
        trial.tell()
    (await held.next()).tell()
    await admitted(*askers, sharing, again)


async def test_at_most_two_run_at_a_time(trials: GrammarTrials, held: HeldTrials) -> None:
    grammars = some(MAX_RUNNING_TRIALS + 1)
    askers = asking(trials, *grammars)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    assert held.idle
    running[0].tell()
    following = await held.next()
    assert following.is_of(grammars[-1])
    for trial in (running[1], following):
        trial.tell()
    await admitted(*askers)


async def test_a_trial_whose_asker_left_while_it_waited_never_begins(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    *grammars, left, last = some(MAX_RUNNING_TRIALS + 2)
    askers = asking(trials, *grammars, left, last)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    await leave(askers.pop(-2))
    running[0].tell()
    following = await held.next()
    assert following.is_of(last)
    for trial in (*running, following):
        trial.tell()
    await admitted(*askers)
    assert held.idle


async def test_whoever_leaves_the_queue_makes_room_in_it(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    grammars = some(MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS)
    askers = asking(trials, *grammars)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    await leave(*askers[MAX_RUNNING_TRIALS:])
    new = asking(trials, *some(MAX_WAITING_TRIALS, first=100))
    for trial in running:
        trial.tell()
    for _ in new:
        (await held.next()).tell()
    await admitted(*askers[:MAX_RUNNING_TRIALS], *new)


async def test_a_running_trial_ends_when_the_last_of_its_askers_leaves(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    (grammar,) = some(1)
    first, second, third = asking(trials, *[grammar] * 3)
    running = await held.next()
    await leave(first, third)
    assert not running.ended.is_set()
    await leave(second)
    await asyncio.wait_for(running.ended.wait(), PATIENCE_S)


async def test_those_who_stay_get_their_answer(trials: GrammarTrials, held: HeldTrials) -> None:
    (grammar,) = some(1)
    first, second = asking(trials, *[grammar] * 2)
    running = await held.next()
    await leave(first)
    running.tell()
    await admitted(second)


async def test_a_trial_that_was_ended_is_no_verdict(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    """It is tried again for whoever asks next, even before its process is gone."""
    (grammar,) = some(1)
    (asker,) = asking(trials, grammar)
    await held.next()
    await leave(asker)
    (again,) = asking(trials, grammar)
    (await held.next()).tell()
    await admitted(again)


async def test_trials_that_end_early_leave_their_turn_to_others(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    *left, last = some(MAX_RUNNING_TRIALS + 1)
    *leaving, staying = asking(trials, *left, last)
    for _ in left:
        await held.next()
    await leave(*leaving)
    following = await held.next()
    assert following.is_of(last)
    following.tell()
    await admitted(staying)


class Endless(GrammarTrial):
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
    trial = GrammarTrial('start: "a"')
    assert trial.run() == ""
    trial.end()
