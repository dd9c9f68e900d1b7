"""The queue of grammar trials: which wait, which are shared, and what a cancelled request ends."""

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


def start_checks(trials: GrammarTrials, *grammars: Grammar) -> list[Task[None]]:
    """A request for each grammar, queued in this order before the next await."""
    return [asyncio.create_task(trials.check(grammar)) for grammar in grammars]


async def cancel(*requests: Task[None]) -> None:
    for request in requests:
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


async def passed(*requests: Task[None]) -> None:
    await asyncio.wait_for(asyncio.gather(*requests), PATIENCE_S)


async def test_a_grammar_is_tried_out_once(trials: GrammarTrials, held: HeldTrials) -> None:
    good, bad = some(2)
    requests = start_checks(trials, good, bad)
    (await held.next()).tell()
    (await held.next()).tell("error: no such thing")
    with pytest.raises(ConstraintError, match=r"^no such thing$"):
        await passed(*requests)
    await trials.check(good)
    with pytest.raises(ConstraintError, match=r"^no such thing$"):
        await trials.check(bad)
    assert held.idle


async def test_requests_with_the_same_grammar_share_a_trial(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    (grammar,) = some(1)
    requests = start_checks(trials, *[grammar] * 5)
    (await held.next()).tell()
    await passed(*requests)
    assert held.idle


async def test_a_grammar_whose_result_is_known_does_not_wait(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    known, *others = some(1 + MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS)
    first = start_checks(trials, known)
    (await held.next()).tell()
    await passed(*first)
    waiting = start_checks(trials, *others)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    await asyncio.wait_for(trials.check(known), PATIENCE_S)
    assert not any(trial.ended.is_set() for trial in running)
    await cancel(*waiting)


async def test_running_and_waiting_trials_are_bounded(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    *taken, late = some(MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS + 1)
    requests = start_checks(trials, *taken)
    (too_late,) = start_checks(trials, late)
    with pytest.raises(TooManyTrials, match="too many"):
        await too_late
    (sharing,) = start_checks(trials, taken[-1])
    for _ in taken[:-MAX_RUNNING_TRIALS]:
        (await held.next()).tell()
    last = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    assert held.idle
    (again,) = start_checks(trials, late)
    for trial in last:
        trial.tell()
    (await held.next()).tell()
    await passed(*requests, sharing, again)


async def test_at_most_two_trials_run_at_a_time(trials: GrammarTrials, held: HeldTrials) -> None:
    grammars = some(MAX_RUNNING_TRIALS + 1)
    requests = start_checks(trials, *grammars)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    assert held.idle
    running[0].tell()
    following = await held.next()
    assert following.is_of(grammars[-1])
    for trial in (running[1], following):
        trial.tell()
    await passed(*requests)


async def test_a_trial_whose_request_was_cancelled_while_waiting_never_begins(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    *grammars, left, last = some(MAX_RUNNING_TRIALS + 2)
    requests = start_checks(trials, *grammars, left, last)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    await cancel(requests.pop(-2))
    running[0].tell()
    following = await held.next()
    assert following.is_of(last)
    for trial in (*running, following):
        trial.tell()
    await passed(*requests)
    assert held.idle


async def test_a_cancelled_request_frees_its_place_in_the_queue(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    grammars = some(MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS)
    requests = start_checks(trials, *grammars)
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    await cancel(*requests[MAX_RUNNING_TRIALS:])
    new = start_checks(trials, *some(MAX_WAITING_TRIALS, first=100))
    for trial in running:
        trial.tell()
    for _ in new:
        (await held.next()).tell()
    await passed(*requests[:MAX_RUNNING_TRIALS], *new)


async def test_a_running_trial_is_ended_when_its_last_request_is_cancelled(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    (grammar,) = some(1)
    first, second, third = start_checks(trials, *[grammar] * 3)
    running = await held.next()
    await cancel(first, third)
    assert not running.ended.is_set()
    await cancel(second)
    await asyncio.wait_for(running.ended.wait(), PATIENCE_S)


async def test_the_remaining_requests_get_the_result(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    (grammar,) = some(1)
    first, second = start_checks(trials, *[grammar] * 2)
    running = await held.next()
    await cancel(first)
    running.tell()
    await passed(second)


async def test_a_trial_that_was_ended_has_no_result(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    """The next request starts another trial, even before the process of the first is gone."""
    (grammar,) = some(1)
    (request,) = start_checks(trials, grammar)
    await held.next()
    await cancel(request)
    (again,) = start_checks(trials, grammar)
    (await held.next()).tell()
    await passed(again)


async def test_a_trial_that_is_ended_early_lets_the_next_one_run(
    trials: GrammarTrials, held: HeldTrials
) -> None:
    *left, last = some(MAX_RUNNING_TRIALS + 1)
    *leaving, staying = start_checks(trials, *left, last)
    for _ in left:
        await held.next()
    await cancel(*leaving)
    following = await held.next()
    assert following.is_of(last)
    following.tell()
    await passed(staying)


class Endless(GrammarTrial):
    """A trial whose process does not end by itself."""

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
