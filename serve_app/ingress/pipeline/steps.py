"""One step of a graph: what it takes, what it waits for, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from serve_app.ingress.errors import ServiceError, invalid_fields
from serve_app.ingress.pipeline.budget import DataBudget
from serve_app.ingress.pipeline.references import (
    INPUT,
    BrokenReference,
    Reference,
    ReferenceLimits,
    ReferenceSyntaxError,
    filled,
    parsed,
    references,
)
from serve_app.ingress.routes.native_router import NativeTask
from serve_app.ingress.validation.field_errors import field_errors

MODEL = "model_name"
Faults = dict[str, str]
"""What is wrong, by the name of the field."""


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A step as the request has it."""

    id: str
    task: str
    inputs: dict[str, Any]
    model_name: str | None = None


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """A step that can run. ``inputs`` holds references; ``needs`` is the steps that they name.

    ``body`` is there already when nothing has to come from another step.
    """

    id: str
    task: NativeTask
    inputs: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    body: BaseModel | None = None

    def filled(self, sources: Mapping[str, Any], budget: DataBudget) -> BaseModel:
        """What the task takes. Raises :class:`ServiceError` that names the input at fault."""
        if self.body is not None:
            return self.body
        values = {name: _value(name, self.inputs[name], sources, budget) for name in self.inputs}
        try:
            return self.task.body.model_validate(values)
        except ValidationError as error:
            raise invalid_fields(_faults(error.errors())) from None


@dataclass(slots=True)
class StepBuilder:
    """What steps are drawn up from: the graph's ids, its input and its limits.

    ``depth`` is how many names a reference may have. ``barred`` says why a task cannot be done by
    the named model, or by any when none is named.
    """

    ids: frozenset[str]
    given: Mapping[str, Any]
    depth: int
    budget: DataBudget
    barred: Callable[[NativeTask, str | None], str | None]
    reading: ReferenceLimits
    _unpaid: DataBudget = field(init=False)

    def __post_init__(self) -> None:
        self._unpaid = DataBudget(self.budget.most)  # of steps that pay when they run, all together

    def step(self, wanted: StepRequest, task: NativeTask) -> tuple[PipelineStep, Faults]:
        """A step, and what is wrong with what is known of it before anything runs."""
        inputs, faults = self._inputs(wanted.inputs)
        faults |= self._model(wanted, task, inputs)
        if wanted.model_name is not None:
            inputs[MODEL] = wanted.model_name
        sources = {name: _sources(template) - {INPUT} for name, template in inputs.items()}
        needs = frozenset[str]().union(*sources.values())
        step = PipelineStep(wanted.id, task, inputs, tuple(sorted(needs)))
        if faults:
            return step, faults
        return self._checked(step, [name for name, needed in sources.items() if needed])

    def _inputs(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], Faults]:
        inputs: dict[str, Any] = {}
        faults: Faults = {}
        for name, value in given.items():
            try:
                inputs[name] = parsed(value, self.reading)
            except ReferenceSyntaxError as error:
                faults[f"inputs.{name}"] = str(error)
                continue
            dangling = map(self._dangling, references(inputs[name]))
            if problem := next(filter(None, dangling), None):
                faults[f"inputs.{name}"] = problem
        return inputs, faults

    def _dangling(self, reference: Reference) -> str | None:
        if len(reference.path) >= self.depth:
            return f"a reference has {len(reference.path) + 1} names; the limit is {self.depth}"
        if reference.source != INPUT:
            known = reference.source in self.ids
            return None if known else f"there is no step {reference.source!r}"
        try:
            reference.value({INPUT: self.given})
        except BrokenReference as error:
            return error.message
        return None

    def _model(self, wanted: StepRequest, task: NativeTask, inputs: Mapping[str, Any]) -> Faults:
        """A model is known before anything runs: nothing that a step comes to can choose it."""
        name, field = wanted.model_name, MODEL
        if MODEL in inputs:
            field = f"inputs.{MODEL}"
            if name is not None:
                return {field: "model_name stands beside inputs already"}
            name = inputs[MODEL]
        if name is not None and not isinstance(name, str):
            return {field: "a model is named by a text that is no reference"}
        problem = self.barred(task, name)
        return {field if name is not None else "task": problem} if problem else {}

    def _checked(self, step: PipelineStep, waiting: list[str]) -> tuple[PipelineStep, Faults]:
        """``step`` with its body where nothing is ``waiting`` for another step."""
        values: dict[str, Any] = dict.fromkeys(waiting)
        budget = self._unpaid if waiting else self.budget
        try:
            for name in step.inputs.keys() - waiting:
                values[name] = _value(name, step.inputs[name], {INPUT: self.given}, budget)
            body = step.task.body.model_validate(values)
        except ValidationError as error:
            return step, _faults(each for each in error.errors() if _is_known(each, waiting))
        except ServiceError as error:
            return step, {error.field or "inputs": error.message}
        return (step if waiting else replace(step, body=body)), {}


def _value(name: str, template: Any, sources: Mapping[str, Any], budget: DataBudget) -> Any:
    try:
        return filled(template, sources, budget.use)
    except ServiceError as error:
        error.field = f"inputs.{name}"
        raise


def _is_known(error: Any, waiting: list[str]) -> bool:
    """Whether it is about what is there already, or about a field that the task does not have."""
    place = error["loc"]
    if not place:
        return not waiting
    return place[0] not in waiting or (error["type"] == "extra_forbidden" and len(place) == 1)


def _faults(errors: Iterable[Any]) -> Faults:
    return field_errors({**error, "loc": ("body", "inputs", *error["loc"])} for error in errors)


def _sources(template: Any) -> set[str]:
    return {reference.source for reference in references(template)}
