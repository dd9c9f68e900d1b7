"""Runs a plan: every step as soon as what it needs is there, and as many together as may be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from serve_app.ingress.errors import DeadlineExceeded, InternalError, ServiceError
from serve_app.ingress.pipeline.budget import DataBudget
from serve_app.ingress.pipeline.pipeline import Pipeline
from serve_app.ingress.pipeline.references import INPUT
from serve_app.ingress.pipeline.steps import PipelineStep
from serve_app.ingress.routes.context import TaskResult
from serve_app.ingress.routes.native_router import NativeTask

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended. Times are in seconds; ``began`` counts from the start of the graph.

    ``skipped`` is a step that never ran, because the step ``cause`` failed.
    """

    status: Literal["ok", "failed", "skipped"]
    began: float | None = None
    took: float = 0.0
    result: TaskResult | None = None
    error: ServiceError | None = None
    cause: str | None = None


class PipelineRun:
    """One graph on its way. ``perform`` asks a task's model for the answer to a body."""

    def __init__(
        self,
        plan: Pipeline,
        perform: Callable[[NativeTask, BaseModel], Awaitable[TaskResult]],
        budget: DataBudget,
        concurrency: int,
    ) -> None:
        self._plan = plan
        self._perform = perform
        self._budget = budget
        self._places = asyncio.Semaphore(concurrency)
        self._done = {step.id: asyncio.Event() for step in plan.steps}
        self._outcomes: dict[str, StepOutcome] = {}
        self._answers: dict[str, Any] = {INPUT: plan.given}
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()
        self._began: dict[str, float] = {}

    async def outcomes(self, timeout_s: float) -> dict[str, StepOutcome]:
        """How every step ended; those that had not when time was up have failed by that.

        Cancelling this cancels the steps, and with them what their models do.
        """
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                for step in self._plan.steps:
                    group.create_task(self._ended(step))
        except TimeoutError:
            late = DeadlineExceeded(f"the graph took longer than its {timeout_s:g} s")
            for step in self._plan.steps:
                if step.id not in self._outcomes:
                    self._outcomes[step.id] = self._failed(step, late)
        return self._outcomes

    async def _ended(self, step: PipelineStep) -> None:
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
        async with self._places:
            self._began[step.id] = self._clock()
            try:
                result = await self._answer(step)
            except ServiceError as error:
                return self._failed(step, error)
            except Exception:  # a step's own edge: what nobody foresaw leaves the others alone
                logger.exception("step %s (%s) failed", step.id, step.task.name)
                return self._failed(step, InternalError())
        self._answers[step.id] = result.body
        return StepOutcome("ok", *self._times(step), result=result)

    async def _answer(self, step: PipelineStep) -> TaskResult:
        body = step.filled(self._answers, self._budget)
        try:
            result = await self._perform(step.task, body)
        except ServiceError as error:
            error.field = f"inputs.{error.field}" if error.field else None
            raise
        self._budget.take(result.body)
        return result

    def _failed(self, step: PipelineStep, error: ServiceError) -> StepOutcome:
        return StepOutcome("failed", *self._times(step), error=error)

    def _times(self, step: PipelineStep) -> tuple[float | None, float]:
        began = self._began.get(step.id)
        return (None, 0.0) if began is None else (began - self._start, self._clock() - began)
