"""A graph, checked as a whole before any of its steps runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any

from serve_app.ingress.errors import MAX_FIELD_ERRORS, invalid_fields
from serve_app.ingress.pipeline.references import INPUT
from serve_app.ingress.pipeline.steps import Faults, PipelineStep, StepBuilder, StepRequest
from serve_app.ingress.routes.native_router import NativeTask

MOST_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps in the request's order, what came with it, and the steps whose answers travel."""

    steps: tuple[PipelineStep, ...]
    given: Mapping[str, Any]
    outputs: tuple[str, ...]


def build_pipeline(
    wanted: Sequence[StepRequest],
    outputs: Sequence[str] | None,
    tasks: Mapping[str, NativeTask],
    drawing: StepBuilder,
) -> Pipeline:
    """The plan of a graph. Raises :class:`ValidationFailed` that names the steps at fault."""
    _refuse(_misnamed(wanted, outputs, tasks))
    drawn = [drawing.step(each, tasks[each.task]) for each in wanted]
    _refuse(_placed([faults for _, faults in drawn]))
    steps = tuple(step for step, _ in drawn)
    _refuse(_circle(steps))
    if outputs is None:
        needed = {need for step in steps for need in step.needs}
        outputs = [step.id for step in steps if step.id not in needed]
    return Pipeline(steps, drawing.given, tuple(dict.fromkeys(outputs)))


def _misnamed(
    wanted: Sequence[StepRequest], outputs: Sequence[str] | None, tasks: Mapping[str, NativeTask]
) -> Iterator[tuple[str, str]]:
    seen: dict[str, int] = {}
    for index, step in enumerate(wanted):
        if step.id == INPUT:
            yield f"steps.{index}.id", f"{INPUT!r} is the name of what came with the request"
        if step.id in seen:
            yield f"steps.{index}.id", f"step {seen[step.id]} has the id {step.id!r} too"
        seen.setdefault(step.id, index)
        if step.task not in tasks:
            task, known = step.task[:MOST_SHOWN], ", ".join(tasks) or "none"
            yield f"steps.{index}.task", f"{task!r} is no task here; there are: {known}"
    for index, name in enumerate(outputs or ()):
        if name not in seen:
            yield f"outputs.{index}", f"there is no step {name[:MOST_SHOWN]!r}"


def _placed(found: Sequence[Faults]) -> Iterator[tuple[str, str]]:
    for index, faults in enumerate(found):
        for field, text in faults.items():
            yield f"steps.{index}.{field}", text


def _circle(steps: Sequence[PipelineStep]) -> Iterator[tuple[str, str]]:
    try:
        TopologicalSorter({step.id: step.needs for step in steps}).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        way = " -> ".join(circle)
        for index, step in enumerate(steps):
            if step.id in circle:
                yield f"steps.{index}", f"{step.id!r} waits for itself ({way})"


def _refuse(faults: Iterable[tuple[str, str]]) -> None:
    if found := dict(islice(faults, MAX_FIELD_ERRORS)):
        raise invalid_fields(found)
