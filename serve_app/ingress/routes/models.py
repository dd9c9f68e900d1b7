"""``GET /models``: every model that the graph may serve; ``GET /models/loaded``: what is where."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from configs.engines import UNSUPPORTED
from deployments.seam.replicas import CudaMemory, ModelStatus, ReplicaReport
from serve_app.ingress.cluster.cluster_models import FRESH_S, ClusterModels, ClusterReport
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import NATIVE_PREFIX, Context, RequestServices

GIB = 1024**3
OPTIONAL = frozenset({"images"}).union(*UNSUPPORTED.values())
"""What some text generators cannot honour: fields of requests, and images in chats."""

router = APIRouter(prefix=NATIVE_PREFIX, tags=["models"])


class LiveLimitsEntry(BaseModel):
    """The limits in force in one replica, under the names of ``user_config``.

    ``refused`` says why it did not take the last ``user_config``; an empty list when it did.
    """

    replica: str
    node: str
    in_force: dict[str, float]
    refused: list[str]


class ModelLimits(BaseModel):
    window: int | None
    max_tokens: int | None


class MeasuredDtype(BaseModel):
    """What a node measured of a text generator in one dtype, once on its kind of processor.

    ``tokens_per_s`` are of 16 short prompts decoded together; ``perplexity`` is of a fixed text. Of
    ``compared_texts`` greedy texts of ``compared_tokens`` tokens, ``same_texts`` were the same
    alone and together. ``refusal`` says why the dtype was not fit to be chosen.
    """

    tokens_per_s: float
    perplexity: float
    compared_tokens: int
    compared_texts: int
    same_texts: int
    refusal: str | None


class ModelPlace(BaseModel):
    """Where a model is loaded, which engine runs it there, and in which dtype it computes.

    ``dtype`` and ``measured_dtypes`` are told of text generators on the OpenVINO engine;
    ``measured_dtypes`` is empty where the profile or the processor left no choice. ``slots`` is how
    many sequences a text generator decodes together: 1, whatever the profile says, for a model that
    the torch engine cannot pack with others.
    """

    replica: str
    node: str
    engine: str
    dtype: str | None
    measured_dtypes: dict[str, MeasuredDtype]
    slots: int | None


class ModelEntry(BaseModel):
    """``engine`` is ``auto`` where each node takes the faster one of ``engines``.

    ``supported`` and ``unsupported`` name request fields that not every engine can honour.
    ``dtype`` is what the profile says; ``notes`` say in sentences what to know about the answers.
    ``live_limits`` has each running replica of the model's family. A ``live`` model is not in the
    profile: it was loaded by name.
    """

    name: str
    aliases: list[str]
    family: str
    tasks: list[str]
    revision: str | None
    engine: str
    engines: list[str]
    dtype: str
    notes: list[str]
    supported: list[str]
    unsupported: list[str]
    limits: ModelLimits
    live_limits: list[LiveLimitsEntry]
    pinned: bool
    live: bool
    loaded: list[ModelPlace]


class ModelsAnswer(BaseModel):
    models: list[ModelEntry]
    request_id: str
    execution_time: float


class Held(BaseModel):
    """One model on one replica. Bytes are measured, but for ``kv_cache_bytes``: so many are set
    aside for its KV cache, filled or not."""

    replica: str
    node: str
    model: str
    host_bytes: int
    gpu_bytes: int
    kv_cache_bytes: int


class Cuda(BaseModel):
    """Sums over the replicas' GPUs, in GiB, as PyTorch counts."""

    allocated: float
    cached: float
    max_allocated: float


class Memory(BaseModel):
    cuda: Cuda


class MemoryUsage(BaseModel):
    """``unanswered`` has the family of each replica that did not answer in time."""

    loaded_models: int
    replicas: list[Held]
    memory: Memory
    unanswered: list[str]


class LoadedModelsAnswer(BaseModel):
    loaded_models: list[str]
    memory_usage: MemoryUsage
    request_id: str
    execution_time: float


@router.get("/models", summary="Every model the graph may serve", response_model=ModelsAnswer)
async def list_models(services: RequestServices, context: Context) -> Response:
    """Known from configuration, and from running replicas where each is loaded. Wakes none.

    Where models are loaded may be a second old, but never older than an order that was answered
    by the same replica of the ingress.
    """
    cards = await services.catalog.refresh()
    cluster = ClusterModels(services.client, services.orders, services.report_cache)
    found = await cluster.report((card.family for card in cards), FRESH_S)
    return context.answer({"models": [_entry(card, found) for card in cards]})


@router.get(
    "/models/loaded",
    summary="What is in memory, on every replica of the cluster",
    response_model=LoadedModelsAnswer,
)
async def loaded_models(services: RequestServices, context: Context) -> Response:
    """Wakes no family that sleeps, and waits for no replica that hangs. As old as ``/models``."""
    cards = await services.catalog.refresh()
    cluster = ClusterModels(services.client, services.orders, services.report_cache)
    found = await cluster.report((card.family for card in cards), FRESH_S)
    held = [
        {
            "replica": report.replica,
            "node": report.node,
            "model": status.model,
            "host_bytes": status.host_bytes,
            "gpu_bytes": status.gpu_bytes,
            "kv_cache_bytes": status.kv_cache_bytes,
        }
        for card in cards
        for report, status in found.loaded(card.name)
    ]
    names = list(dict.fromkeys(each["model"] for each in held))
    usage = {
        "loaded_models": len(names),
        "replicas": held,
        "memory": {"cuda": _cuda([report.cuda for report in found.reports])},
        "unanswered": list(found.unanswered),
    }
    return context.answer({"loaded_models": names, "memory_usage": usage})


def _cuda(found: list[CudaMemory]) -> dict[str, float]:
    return {
        "allocated": sum(each.allocated for each in found) / GIB,
        "cached": sum(each.cached for each in found) / GIB,
        "max_allocated": sum(each.max_allocated for each in found) / GIB,
    }


def _entry(card: ModelCard, found: ClusterReport) -> dict[str, Any]:
    optional = OPTIONAL if "generate" in card.tasks else frozenset[str]()
    return {
        "name": card.name,
        "aliases": card.aliases,
        "family": card.family,
        "tasks": card.tasks,
        "revision": card.revision,
        "engine": card.engine,
        "engines": card.engines,
        "dtype": card.dtype,
        "notes": card.notes,
        "supported": sorted(optional - card.unsupported),
        "unsupported": sorted(card.unsupported),
        "limits": {"window": card.window, "max_tokens": card.max_tokens},
        "live_limits": [_live(report) for report in found.reports if _is_of_family(report, card)],
        "pinned": card.pinned,
        "live": card.live,
        "loaded": [_place(report, status) for report, status in found.loaded(card.name)],
    }


def _place(report: ReplicaReport, status: ModelStatus) -> dict[str, Any]:
    choice = status.dtype_choice
    figures = {} if choice is None else choice.figures
    return {
        "replica": report.replica,
        "node": report.node,
        "engine": status.engine,
        "dtype": None if choice is None else choice.dtype,
        "measured_dtypes": {name: asdict(each) for name, each in figures.items()},
        "slots": status.slots,
    }


def _is_of_family(report: ReplicaReport, card: ModelCard) -> bool:
    return report.limits is not None and report.limits.family == card.family


def _live(report: ReplicaReport) -> dict[str, Any]:
    assert report.limits is not None
    return {
        "replica": report.replica,
        "node": report.node,
        "in_force": report.limits.in_force,
        "refused": list(report.limits.refused),
    }
