"""A whole graph of a request, checked before any of its steps runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any

from serve_app.ingress.errors import MAX_FIELD_ERRORS, invalid_fields
from serve_app.ingress.pipeline.references import INPUT
from serve_app.ingress.pipeline.steps import (
    Faults,
    PipelineStep,
    StepBuilder,
    StepRequest,
    StepTask,
)

MAX_SHOWN = 64
"""Characters of a client's name that an error repeats."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps in the request's order, its input, and the ids of steps whose answers are returned."""

    steps: tuple[PipelineStep, ...]
    input: Mapping[str, Any]
    outputs: tuple[str, ...]


def build_pipeline(
    requests: Sequence[StepRequest],
    outputs: Sequence[str] | None,
    tasks: Mapping[str, StepTask],
    builder: StepBuilder,
) -> Pipeline:
    """The pipeline of a graph, with the tasks that its steps name.

    Without ``outputs`` these are the steps that no other step refers to. Raises
    :class:`ValidationFailed` that names the steps at fault.
    """
    _refuse(_wrong_names(requests, outputs, tasks))
    built = [builder.build(each, tasks[each.task]) for each in requests]
    _refuse(_step_faults([faults for _, faults in built]))
    steps = tuple(step for step, _ in built)
    _refuse(_cycle(steps))
    if outputs is None:
        needed = {need for step in steps for need in step.needs}
        outputs = [step.id for step in steps if step.id not in needed]
    return Pipeline(steps, builder.input, tuple(dict.fromkeys(outputs)))


def _wrong_names(
    requests: Sequence[StepRequest], outputs: Sequence[str] | None, tasks: Mapping[str, StepTask]
) -> Iterator[tuple[str, str]]:
    seen: dict[str, int] = {}
    for index, step in enumerate(requests):
        if step.id == INPUT:
            yield f"steps.{index}.id", f"{INPUT!r} is the name of what came with the request"
        if step.id in seen:
            yield f"steps.{index}.id", f"step {seen[step.id]} has the id {step.id!r} too"
        seen.setdefault(step.id, index)
        if step.task not in tasks:
            task, known = step.task[:MAX_SHOWN], ", ".join(tasks) or "none"
            yield f"steps.{index}.task", f"{task!r} is no task here; there are: {known}"
    for index, name in enumerate(outputs or ()):
        if name not in seen:
            yield f"outputs.{index}", f"there is no step {name[:MAX_SHOWN]!r}"


def _step_faults(found: Sequence[Faults]) -> Iterator[tuple[str, str]]:
    for index, faults in enumerate(found):
        for field, text in faults.items():
            yield f"steps.{index}.{field}", text


def _cycle(steps: Sequence[PipelineStep]) -> Iterator[tuple[str, str]]:
    try:
        TopologicalSorter({step.id: step.needs for step in steps}).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        path = " -> ".join(cycle)
        for index, step in enumerate(steps):
            if step.id in cycle:
                yield f"steps.{index}", f"{step.id!r} waits for itself ({path})"


def _refuse(faults: Iterable[tuple[str, str]]) -> None:
    if found := dict(islice(faults, MAX_FIELD_ERRORS)):
        raise invalid_fields(found)
