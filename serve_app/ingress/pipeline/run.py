"""Runs a pipeline: each step starts as soon as the steps that it refers to are done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from serve_app.ingress.errors import DeadlineExceeded, InternalError, ServiceError
from serve_app.ingress.pipeline.budget import DataBudget
from serve_app.ingress.pipeline.pipeline import Pipeline
from serve_app.ingress.pipeline.references import INPUT
from serve_app.ingress.pipeline.steps import PipelineStep

logger = logging.getLogger(__name__)


class StepAnswer(Protocol):
    """A task's answer, and the model that gave it."""

    @property
    def body(self) -> Any: ...

    @property
    def model(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended. ``started_at`` and ``seconds`` count from the start of the graph and step.

    A ``skipped`` step never ran, because the step ``cause`` failed.
    """

    status: Literal["ok", "failed", "skipped"]
    started_at: float | None = None
    seconds: float = 0.0
    result: StepAnswer | None = None
    error: ServiceError | None = None
    cause: str | None = None


class PipelineRun:
    """One run of a pipeline, at most ``concurrency`` steps at a time.

    ``perform`` runs a step's task with the body that was made for it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        perform: Callable[[Any, BaseModel], Awaitable[StepAnswer]],
        budget: DataBudget,
        concurrency: int,
    ) -> None:
        self._pipeline = pipeline
        self._perform = perform
        self._budget = budget
        self._slots = asyncio.Semaphore(concurrency)
        self._done = {step.id: asyncio.Event() for step in pipeline.steps}
        self._outcomes: dict[str, StepOutcome] = {}
        self._answers: dict[str, Any] = {INPUT: pipeline.input}
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()
        self._started: dict[str, float] = {}

    async def outcomes(self, timeout_s: float) -> dict[str, StepOutcome]:
        """The outcome of every step. Steps still running after ``timeout_s`` count as failed.

        Cancelling this cancels the steps and their calls to models.
        """
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                for step in self._pipeline.steps:
                    group.create_task(self._run_step(step))
        except TimeoutError:
            late = DeadlineExceeded(f"the steps took longer than their {timeout_s:.3g} s")
            for step in self._pipeline.steps:
                if step.id not in self._outcomes:
                    self._outcomes[step.id] = self._failure(step, late)
        return self._outcomes

    async def _run_step(self, step: PipelineStep) -> None:
        for need in step.needs:
            await self._done[need].wait()
        self._outcomes[step.id] = self._skipped(step) or await self._outcome(step)
        self._done[step.id].set()

    def _skipped(self, step: PipelineStep) -> StepOutcome | None:
        for need in step.needs:
            outcome = self._outcomes[need]
            if outcome.status != "ok":
                return StepOutcome("skipped", error=outcome.error, cause=outcome.cause or need)
        return None

    async def _outcome(self, step: PipelineStep) -> StepOutcome:
        async with self._slots:
            self._started[step.id] = self._clock()
            try:
                result = await self._result(step)
            except ServiceError as error:
                return self._failure(step, error)
            except Exception:  # an unforeseen failure must not end the other steps
                logger.exception("step %s (%s) failed", step.id, step.task.name)
                return self._failure(step, InternalError())
        self._answers[step.id] = result.body
        return StepOutcome("ok", *self._times(step), result=result)

    async def _result(self, step: PipelineStep) -> StepAnswer:
        body = step.make_body(self._answers, self._budget)
        try:
            result = await self._perform(step.task, body)
        except ServiceError as error:
            error.field = f"inputs.{error.field}" if error.field else None
            raise
        self._budget.charge(result.body)
        return result

    def _failure(self, step: PipelineStep, error: ServiceError) -> StepOutcome:
        return StepOutcome("failed", *self._times(step), error=error)

    def _times(self, step: PipelineStep) -> tuple[float | None, float]:
        started = self._started.get(step.id)
        return (None, 0.0) if started is None else (started - self._start, self._clock() - started)
