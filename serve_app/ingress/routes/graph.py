"""``POST /graph``: one request, many models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Set
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from serve_app.ingress.errors import DeadlineExceeded, ModelNotFound, ValidationFailed
from serve_app.ingress.pipeline.budget import DataBudget
from serve_app.ingress.pipeline.pipeline import Pipeline, build_pipeline
from serve_app.ingress.pipeline.references import ID, ReferenceLimits
from serve_app.ingress.pipeline.run import PipelineRun, StepOutcome
from serve_app.ingress.pipeline.steps import MODEL, PipelineStep, StepBuilder, StepRequest
from serve_app.ingress.routes.context import (
    NATIVE_PREFIX,
    Context,
    RequestContext,
    RequestServices,
    Services,
    TaskResult,
    paced_json,
)
from serve_app.ingress.routes.errors import item_error
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.native_router import NativeTask
from serve_app.ingress.validation.fields import Body, ModelName, example

router = InferenceRouter(prefix=NATIVE_PREFIX, tags=["graph"])

MAX_STEPS = 1024
MAX_INPUTS = 100
"""Of one step; no task takes as many."""
StepId = Annotated[str, StringConstraints(pattern=rf"^{ID}$")]


class StepBody(Body):
    """A task, by the name of its route, and the body of that route, with references in it."""

    id: StepId
    task: Annotated[str, Field(min_length=1)]
    inputs: Annotated[dict[str, Any], Field(max_length=MAX_INPUTS)] = Field(default_factory=dict)
    model_name: ModelName | None = None


class GraphBody(Body):
    """Steps, what they may refer to as ``$input``, and the steps whose answers are wanted."""

    model_config = example(
        input={"letter": "Dear Anna, the bridge in Berlin was a joy to cross."},
        steps=[
            {"id": "who", "task": "entities", "inputs": {"texts": "$input.letter"}},
            {"id": "mood", "task": "classify", "inputs": {"texts": "$input.letter"}},
            {
                "id": "alike",
                "task": "similarity",
                "inputs": {"text1": "$input.letter", "text2": "a ${mood.sentiment} text"},
            },
        ],
        outputs=["who", "alike"],
    )

    steps: Annotated[list[StepBody], Field(min_length=1, max_length=MAX_STEPS)]
    input: dict[str, Any] = Field(default_factory=dict)
    outputs: Annotated[list[str], Field(max_length=MAX_STEPS)] | None = Field(
        None, description="all steps that no other step refers to, unless given"
    )


class StepError(BaseModel):
    error_type: str
    message: str
    field: str | None = None


class StepReport(BaseModel):
    """Times are in seconds, ``started_at`` from the start of the request.

    ``cause`` is the step whose failure let this one be skipped.
    """

    id: str
    task: str
    status: Literal["ok", "failed", "skipped"]
    model: str | None = None
    started_at: float | None
    execution_time: float
    error: StepError | None = None
    cause: str | None = None


class GraphAnswer(BaseModel):
    """``outputs`` has what the steps' own routes would answer, of those that are ``ok``."""

    outputs: dict[str, Any]
    steps: list[StepReport]
    request_id: str
    execution_time: float


async def tasks_of_app(request: Request) -> Mapping[str, NativeTask]:
    tasks: Mapping[str, NativeTask] = request.app.state.tasks
    return tasks


Tasks = Annotated[Mapping[str, NativeTask], Depends(tasks_of_app)]


@router.inference(
    "/graph", "graph", fixed=True, summary="One request, many models", response_model=GraphAnswer
)
async def graph(
    body: GraphBody, services: RequestServices, context: Context, tasks: Tasks
) -> Response:
    """Runs each step as soon as what it refers to is there, independent ones at the same time.

    In a step's ``inputs``, ``"$input.key"`` and ``"$step.key.0"`` stand for a value of any type,
    ``${step.key}`` within a text for its text, and ``$$`` for a dollar sign. The graph is checked
    as a whole first: a 400 names the steps at fault, and nothing has run. After that the status
    is 200, and each step has its own: a step that fails fails those that refer to it, and leaves
    the rest. Items of a list that fail alone do not fail their step.
    """
    settings = services.settings
    if len(body.steps) > settings.max_graph_steps:
        message = f"steps has {len(body.steps)} items; the limit is {settings.max_graph_steps}."
        raise ValidationFailed(message, field="steps")
    clock = asyncio.get_running_loop().time
    end = min(clock() + settings.graph_timeout_s, services.deadline or math.inf)
    refused = await services.in_time(_look_up_models(body, services))
    budget = DataBudget(settings.max_graph_bytes)
    pipeline = _pipeline(body, services, tasks, budget, refused)

    async def perform(task: NativeTask, inputs: BaseModel) -> TaskResult:
        own = RequestContext(context.request_id, session=context.session)
        return await task.function(inputs, services, own)

    run = PipelineRun(pipeline, perform, budget, settings.max_graph_concurrency)
    outcomes = await run.outcomes(end - clock())
    answer = {
        "outputs": {
            name: outcome.result.body
            for name in pipeline.outputs
            if (outcome := outcomes[name]).result is not None
        },
        "steps": [_report(step, outcomes[step.id]) for step in pipeline.steps],
    }
    return await paced_json(context.complete(answer), services.turns)


async def _look_up_models(body: GraphBody, services: Services) -> Set[str]:
    """The names of new models that the request's key may not use: their steps fail alone.

    Raises :class:`DeadlineExceeded` if that takes as long as the whole graph may, and
    :class:`ServiceError` if a model cannot be looked up or served."""
    limit_s = services.settings.graph_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            return await services.catalog.known(
                {f"steps.{index}.{MODEL}": step.model_name for index, step in enumerate(body.steps)}
            )
    except TimeoutError:
        message = f"The models of the graph were not found within its {limit_s:g} s."
        raise DeadlineExceeded(message) from None


def _pipeline(
    body: GraphBody,
    services: Services,
    tasks: Mapping[str, NativeTask],
    budget: DataBudget,
    refused: Set[str],
) -> Pipeline:
    settings = services.settings
    requests = [
        StepRequest(each.id, each.task, each.inputs, each.model_name) for each in body.steps
    ]
    ids = frozenset(each.id for each in requests)
    unavailable = partial(_unavailable, services, refused)
    limits = ReferenceLimits(settings.max_prompt_bytes, settings.max_graph_depth)
    builder = StepBuilder(ids, body.input, budget, unavailable, limits)
    return build_pipeline(requests, body.outputs, tasks, builder)


def _unavailable(
    services: Services, refused: Set[str], task: NativeTask, model: str | None
) -> str | None:
    """Why ``model`` cannot do the task, or no model can when none is named; ``None`` if it can, or
    is one of the ``refused``."""
    able = [
        card for card in services.catalog.cards if not set(task.model_tasks).isdisjoint(card.tasks)
    ]
    if model is None:
        return None if able else f"no model is configured for {task.name!r}"
    if model in refused or any(model in (card.name, *card.aliases) for card in able):
        return None
    return ModelNotFound(model, [card.name for card in able], MODEL).message


def _report(step: PipelineStep, outcome: StepOutcome) -> dict[str, Any]:
    return {
        "id": step.id,
        "task": step.task.name,
        "status": outcome.status,
        **({"model": outcome.result.model} if outcome.result else {}),
        "started_at": None if outcome.started_at is None else round(outcome.started_at, 6),
        "execution_time": round(outcome.seconds, 6),
        **(item_error(outcome.error) if outcome.error else {}),
        **({"cause": outcome.cause} if outcome.cause else {}),
    }
