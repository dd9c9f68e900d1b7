"""Which loaded models to evict: those whose memory is worth least."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import GIB

MIN_LOAD_S = 0.5
"""Shorter loads count as this long: below it, measurements tell nothing about the next load."""

MIN_BYTES = 16 * 1024**2
"""Smaller models count as this large: below it, a process's memory is not measured well."""


def idle_cost(model: LoadedModel[Any], nbytes: int, now: float) -> float:
    """``idle seconds * GiB / load seconds``; the model with the largest value is evicted first.

    Keeping a model saves its load time at each later use, and costs its memory. One over the time
    since its last use estimates how often it is used. So a GiB that it takes saves ``load seconds /
    (GiB * idle seconds)``, of which this is the inverse: the cost over size of GreedyDual-Size (Cao
    and Irani, USITS 1997) in the ratio form of hyperbolic caching (Blankstein et al., USENIX ATC
    2017). Where all models take equally long to load per GiB it is the least recently used.

    ``nbytes`` is the model's memory with a full KV cache, ``now`` and ``last_used`` are in seconds
    of the same clock. A model in use costs nothing.
    """
    idle_s = 0.0 if model.users else max(0.0, now - model.last_used)
    return idle_s * max(nbytes, MIN_BYTES) / GIB / max(model.seconds, MIN_LOAD_S)


def to_evict(
    models: Iterable[LoadedModel[Any]], sizes: Mapping[str, int], excess: int, now: float
) -> list[LoadedModel[Any]]:
    """The models to evict until memory has fallen by ``excess`` bytes, the first ones first.

    Those are the models that cost most; in use, and last, only where the others do not suffice.
    Small models are left out again if the larger ones behind them suffice. All of ``models`` if
    none suffice. ``sizes`` has the bytes of each by name.
    """
    chosen: list[LoadedModel[Any]] = []
    for model in sorted(models, key=lambda each: -idle_cost(each, sizes[each.spec.name], now)):
        if excess <= 0:
            break
        chosen.append(model)
        excess -= sizes[model.spec.name]
    for model in chosen[::-1]:  # the most worth first
        if excess + sizes[model.spec.name] <= 0:
            chosen.remove(model)
            excess += sizes[model.spec.name]
    return chosen
