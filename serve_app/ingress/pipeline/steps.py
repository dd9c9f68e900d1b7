"""One step of a graph: checked before the graph runs, and given its inputs when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel, ValidationError

from serve_app.ingress.errors import ServiceError, invalid_fields
from serve_app.ingress.pipeline.budget import DataBudget
from serve_app.ingress.pipeline.references import (
    INPUT,
    BrokenReference,
    Reference,
    ReferenceLimits,
    ReferenceSyntaxError,
    fill,
    parse,
    references_in,
)
from serve_app.ingress.validation.field_errors import field_errors

MODEL = "model_name"
Faults: TypeAlias = dict[str, str]
"""The errors of a step, by the name of the field."""


class StepTask(Protocol):
    """The task of a step. ``body`` is the model of its inputs."""

    @property
    def name(self) -> str: ...

    @property
    def body(self) -> type[BaseModel]: ...


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A step as the client wrote it."""

    id: str
    task: str
    inputs: dict[str, Any]
    model_name: str | None = None


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """A checked step. ``inputs`` are templates; ``needs`` are the ids of steps they refer to.

    ``body`` is set when the inputs need no other step, so that it was made during the check.
    """

    id: str
    task: StepTask
    inputs: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    body: BaseModel | None = None

    def make_body(self, sources: Mapping[str, Any], budget: DataBudget) -> BaseModel:
        """The body for the task, from the answers of other steps in ``sources``.

        Raises :class:`ServiceError` that names the input at fault.
        """
        if self.body is not None:
            return self.body
        values = {name: _filled(name, self.inputs[name], sources, budget) for name in self.inputs}
        try:
            return self.task.body.model_validate(values)
        except ValidationError as error:
            raise invalid_fields(_faults(error.errors())) from None


@dataclass(slots=True)
class StepBuilder:
    """Makes checked steps of a client's.

    ``ids`` are those of all steps of the graph, ``input`` is the request's own input. ``barred``
    says why the named model cannot do a task, or why none can when no model is named; ``None`` if
    all is well.
    """

    ids: frozenset[str]
    input: Mapping[str, Any]
    budget: DataBudget
    barred: Callable[[Any, str | None], str | None]
    limits: ReferenceLimits
    _trial_budget: DataBudget = field(init=False)
    """Bounds the inputs that are filled in only to be checked: ``budget`` pays when a step runs."""

    def __post_init__(self) -> None:
        self._trial_budget = DataBudget(self.budget.max_bytes)

    def build(self, request: StepRequest, task: StepTask) -> tuple[PipelineStep, Faults]:
        """A step, and all that can be found wrong with it before anything runs."""
        inputs, faults = self._parse_inputs(request.inputs)
        faults |= self._model_faults(request, task, inputs)
        if request.model_name is not None:
            inputs[MODEL] = request.model_name
        sources = {name: _sources(template) - {INPUT} for name, template in inputs.items()}
        needs = frozenset[str]().union(*sources.values())
        step = PipelineStep(request.id, task, inputs, tuple(sorted(needs)))
        if faults:
            return step, faults
        return self._check_inputs(step, [name for name, needed in sources.items() if needed])

    def _parse_inputs(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], Faults]:
        inputs: dict[str, Any] = {}
        faults: Faults = {}
        for name, value in given.items():
            try:
                inputs[name] = parse(value, self.limits)
            except ReferenceSyntaxError as error:
                faults[f"inputs.{name}"] = str(error)
                continue
            problems = map(self._reference_problem, references_in(inputs[name]))
            if problem := next(filter(None, problems), None):
                faults[f"inputs.{name}"] = problem
        return inputs, faults

    def _reference_problem(self, reference: Reference) -> str | None:
        if reference.source != INPUT:
            known = reference.source in self.ids
            return None if known else f"there is no step {reference.source!r}"
        try:
            reference.value({INPUT: self.input})
        except BrokenReference as error:
            return error.message
        return None

    def _model_faults(
        self, request: StepRequest, task: StepTask, inputs: Mapping[str, Any]
    ) -> Faults:
        """The model must be known before anything runs, so no step's answer can choose it."""
        name, field = request.model_name, MODEL
        if MODEL in inputs:
            field = f"inputs.{MODEL}"
            if name is not None:
                return {field: "model_name stands beside inputs already"}
            name = inputs[MODEL]
        if name is not None and not isinstance(name, str):
            return {field: "a model is named by a text that is no reference"}
        problem = self.barred(task, name)
        return {field if name is not None else "task": problem} if problem else {}

    def _check_inputs(self, step: PipelineStep, waiting: list[str]) -> tuple[PipelineStep, Faults]:
        """Validate all inputs but those ``waiting`` for other steps; with none, set the body."""
        values: dict[str, Any] = dict.fromkeys(waiting)
        budget = self._trial_budget if waiting else self.budget
        try:
            for name in step.inputs.keys() - waiting:
                values[name] = _filled(name, step.inputs[name], {INPUT: self.input}, budget)
            body = step.task.body.model_validate(values)
        except ValidationError as error:
            return step, _faults(each for each in error.errors() if _is_certain(each, waiting))
        except ServiceError as error:
            return step, {error.field or "inputs": error.message}
        return (step if waiting else replace(step, body=body)), {}


def _filled(name: str, template: Any, sources: Mapping[str, Any], budget: DataBudget) -> Any:
    try:
        return fill(template, sources, budget.charge_reference)
    except ServiceError as error:
        error.field = f"inputs.{name}"
        raise


def _is_certain(error: Any, waiting: list[str]) -> bool:
    """Whether the error will stay whatever the inputs come to that are ``waiting``.

    It does when it is about an input that is there, or about a field that the task does not have.
    """
    place = error["loc"]
    if not place:
        return not waiting
    return place[0] not in waiting or (error["type"] == "extra_forbidden" and len(place) == 1)


def _faults(errors: Iterable[Any]) -> Faults:
    return field_errors({**error, "loc": ("body", "inputs", *error["loc"])} for error in errors)


def _sources(template: Any) -> set[str]:
    return {reference.source for reference in references_in(template)}
