"""Running: what runs together, what waits, what a failure takes with it, and when it all ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel

from serve_app.ingress.errors import Unavailable
from serve_app.ingress.pipeline.budget import DataBudget
from serve_app.ingress.pipeline.pipeline import Pipeline, build_pipeline
from serve_app.ingress.pipeline.references import ReferenceLimits
from serve_app.ingress.pipeline.run import PipelineRun, StepOutcome
from serve_app.ingress.pipeline.steps import StepBuilder, StepRequest
from serve_app.ingress.validation.fields import Body
from tests.serve_app.local_handle import happens


class SayBody(Body):
    """``say`` names who speaks; the rest is what it waited for."""

    say: str
    after: Any = None
    loud: bool = False


class Models:
    """Stands in for models: each ``say`` blocks, fails or is answered as the test says."""

    def __init__(self) -> None:
        self.began: dict[str, asyncio.Event] = {}
        self.may_end: dict[str, asyncio.Event] = {}
        self.heard: dict[str, Any] = {}
        self.fail: dict[str, Exception] = {}
        self.answers: dict[str, Any] = {}
        self.stopped: list[str] = []
        self.working = self.most = 0

    def event(self, events: dict[str, asyncio.Event], name: str) -> asyncio.Event:
        return events.setdefault(name, asyncio.Event())

    def hold(self, *names: str) -> None:
        for name in names:
            self.event(self.may_end, name)

    async def perform(self, task: Any, body: BaseModel) -> Spoken:
        assert isinstance(body, SayBody)
        self.heard[body.say] = body.after
        self.working += 1
        self.most = max(self.most, self.working)
        self.event(self.began, body.say).set()
        try:
            if body.say in self.may_end:
                await self.may_end[body.say].wait()
            await asyncio.sleep(0)
            if body.say in self.fail:
                raise self.fail[body.say]
        except asyncio.CancelledError:
            self.stopped.append(body.say)
            raise
        finally:
            self.working -= 1
        return Spoken(self.answers.get(body.say, {"said": body.say}), "house/voice")


@dataclass
class Spoken:
    body: Any
    model: str


Perform: TypeAlias = Callable[[Any, BaseModel], Awaitable[Spoken]]


class SayTask:
    name = "say"
    body = SayBody


def graph_of(*wanted: StepRequest, budget: DataBudget) -> Pipeline:
    ids = frozenset(step.id for step in wanted)
    limits = ReferenceLimits(1000, 16)
    builder = StepBuilder(ids, {}, budget, lambda task, model: None, limits)
    return build_pipeline(wanted, None, {"say": SayTask()}, builder)


def run(
    models: Models,
    *steps: tuple[str, Any],
    max_bytes: int = 10**6,
    together: int = 8,
    perform: Perform | None = None,
) -> PipelineRun:
    """A graph of steps by name, each with what it takes ``after`` another."""
    budget = DataBudget(max_bytes)
    wanted = [StepRequest(name, "say", {"say": name, "after": after}) for name, after in steps]
    return PipelineRun(
        graph_of(*wanted, budget=budget), perform or models.perform, budget, together
    )


def statuses(outcomes: dict[str, StepOutcome]) -> dict[str, str]:
    return {name: outcome.status for name, outcome in outcomes.items()}


async def test_independent_steps_run_at_the_same_time() -> None:
    models = Models()
    models.hold("a", "b")
    running = asyncio.ensure_future(run(models, ("a", None), ("b", None)).outcomes(60))
    await happens(models.event(models.began, "a"))
    await happens(models.event(models.began, "b"))  # and neither has ended
    models.may_end["a"].set()
    models.may_end["b"].set()
    assert statuses(await running) == {"a": "ok", "b": "ok"}


async def test_a_step_starts_when_what_it_needs_is_done_whatever_else_still_runs() -> None:
    models = Models()
    models.hold("slow")
    graph = run(models, ("slow", None), ("quick", None), ("next", "$quick.said"))
    running = asyncio.ensure_future(graph.outcomes(60))
    await happens(models.event(models.began, "next"))
    assert models.heard["next"] == "quick"
    models.may_end["slow"].set()
    assert statuses(await running) == {"slow": "ok", "quick": "ok", "next": "ok"}


async def test_a_step_waits_for_everything_that_it_refers_to() -> None:
    models = Models()
    models.hold("slow")
    graph = run(models, ("both", ["$slow.said", "$quick.said"]), ("slow", None), ("quick", None))
    running = asyncio.ensure_future(graph.outcomes(60))
    await happens(models.event(models.began, "quick"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert "both" not in models.heard
    models.may_end["slow"].set()
    await running
    assert models.heard["both"] == ["slow", "quick"]


async def test_no_more_steps_work_at_once_than_may() -> None:
    models = Models()
    steps = [(f"s{i}", None) for i in range(12)]
    outcomes = await run(models, *steps, together=3).outcomes(60)
    assert set(statuses(outcomes).values()) == {"ok"}
    assert models.most == 3


async def test_a_failure_takes_those_that_refer_to_it_and_leaves_the_rest() -> None:
    models = Models()
    models.fail["bad"] = Unavailable("not now")
    graph = run(
        models, ("bad", None), ("child", "$bad.said"), ("grandchild", "$child.said"), ("good", None)
    )
    outcomes = await graph.outcomes(60)
    assert statuses(outcomes) == {
        "bad": "failed",
        "child": "skipped",
        "grandchild": "skipped",
        "good": "ok",
    }
    assert outcomes["child"].cause == outcomes["grandchild"].cause == "bad"
    assert set(models.heard) == {"bad", "good"}


async def test_what_nobody_foresaw_fails_its_step_alone_and_shows_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    models = Models()
    models.fail["bad"] = RuntimeError("postgres://user:password@inside")
    outcomes = await run(models, ("bad", None), ("good", None)).outcomes(60)
    assert statuses(outcomes) == {"bad": "failed", "good": "ok"}
    error = outcomes["bad"].error
    assert error is not None
    assert error.error_type == "internal_error"
    assert "postgres" not in error.message
    assert "step bad" in caplog.text


async def test_a_path_that_turns_out_to_be_missing_fails_the_step_that_refers_to_it() -> None:
    models = Models()
    outcomes = await run(models, ("a", None), ("b", "$a.sung"), ("c", "$a.said")).outcomes(60)
    assert statuses(outcomes) == {"a": "ok", "b": "failed", "c": "ok"}
    error = outcomes["b"].error
    assert error is not None
    assert (error.field, error.message) == (
        "inputs.after",
        "a has no 'sung'; it has 'said'",
    )


async def test_what_does_not_fit_the_task_names_the_input() -> None:
    models = Models()
    models.answers["a"] = {"said": "not a flag"}
    wanted = [
        StepRequest("a", "say", {"say": "a"}),
        StepRequest("b", "say", {"say": "b", "loud": "$a.said"}),
    ]
    budget = DataBudget(10**6)
    plan = graph_of(*wanted, budget=budget)
    outcomes = await PipelineRun(plan, models.perform, budget, 8).outcomes(60)
    error = outcomes["b"].error
    assert error is not None
    assert error.field == "inputs.loud"
    assert "b" not in models.heard


async def test_when_time_is_up_the_rest_has_failed_and_its_models_stop() -> None:
    models = Models()
    models.hold("forever")
    graph = run(models, ("quick", None), ("forever", None), ("after", "$forever.said"))
    outcomes = await graph.outcomes(0.05)
    assert statuses(outcomes) == {"quick": "ok", "forever": "failed", "after": "failed"}
    for name in ("forever", "after"):
        error = outcomes[name].error
        assert error is not None
        assert error.error_type == "timeout"
    assert models.stopped == ["forever"]
    assert outcomes["after"].started_at is None


async def test_whoever_asked_and_left_stops_every_step() -> None:
    models = Models()
    models.hold("a", "b")
    graph = run(models, ("a", None), ("b", None), ("c", "$a.said"))
    running = asyncio.ensure_future(graph.outcomes(60))
    await happens(models.event(models.began, "a"))
    await happens(models.event(models.began, "b"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(models.stopped) == ["a", "b"]
    assert "c" not in models.heard


async def test_answers_that_grow_with_every_step_end_at_the_limit() -> None:
    models = Models()
    doubling = [("s0", "x" * 100)]
    doubling += [(f"s{i + 1}", f"${{s{i}.said}}${{s{i}.said}}") for i in range(20)]

    async def echo(task: Any, body: BaseModel) -> Spoken:
        assert isinstance(body, SayBody)
        return Spoken({"said": body.after}, "house/echo")

    outcomes = await run(models, *doubling, max_bytes=10_000, perform=echo).outcomes(60)
    failed = [name for name, outcome in outcomes.items() if outcome.status == "failed"]
    assert len(failed) == 1
    error = outcomes[failed[0]].error
    assert error is not None
    assert error.error_type == "payload_too_large"
    assert statuses(outcomes)["s20"] == "skipped"


async def test_an_answer_that_is_too_large_fails_its_step() -> None:
    models = Models()
    models.answers["a"] = {"said": "x" * 2000}
    outcomes = await run(models, ("a", None), ("b", None), max_bytes=1000).outcomes(60)
    assert statuses(outcomes) == {"a": "failed", "b": "ok"}


async def test_times_count_from_the_start_of_the_graph() -> None:
    models = Models()
    outcomes = await run(models, ("a", None), ("b", "$a.said")).outcomes(60)
    a, b = outcomes["a"], outcomes["b"]
    assert a.started_at is not None
    assert b.started_at is not None
    assert 0 <= a.started_at <= a.started_at + a.seconds <= b.started_at
