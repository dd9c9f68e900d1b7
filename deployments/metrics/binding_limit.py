"""The binding limit of a family: why it is not faster, and which setting changes that.

This is the only place that decides it, from figures of the last ten seconds of one replica.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from deployments.seam.scaling import ScalingDecision

Limit: TypeAlias = Literal[
    "slots",
    "kv_cache",
    "batch_items",
    "batch_tokens",
    "batch_pixels",
    "batch_time",
    "forward_time",
    "cpu",
    "queue",
    "replicas",
]
LIMITS: tuple[Limit, ...] = get_args(Limit)

BatchEnd: TypeAlias = Literal["items", "volume", "seconds", "lengths"]
"""What kept the next waiting item out of a batch; ``lengths``: its padding would cost too much."""

SETTINGS: Mapping[Limit, str] = {
    "slots": "slots of the model, or PRSM_HF_MAX_CONCURRENT_REQUESTS: more sequences a step, each "
    "slower; else more replicas",
    "kv_cache": "kv_cache_gb of the model: more tokens of more sequences; else more replicas",
    "batch_items": "user_config.max_batch_size: larger batches",
    "batch_tokens": "user_config.max_batch_tokens: larger batches, which take more memory",
    "batch_pixels": "user_config.max_batch_pixels: larger batches, which take more memory",
    "batch_time": "user_config.max_forward_ms: larger batches; small requests wait longer for them",
    "forward_time": "the model's own speed: PRSM_HF_THREADS, forwards of the model, its dtype or "
    "engine, a GPU; else more replicas where there are cores or GPUs for them",
    "cpu": "cores: all of this machine, or of its container's limit, are busy. A higher limit, "
    "another machine, fewer families on this one, or a GPU; PRSM_HF_THREADS shares the cores out",
    "queue": "max_ongoing_requests of the family: more calls at a time fill its batches or slots",
    "replicas": "autoscaling_config.max_replicas, and nodes that have room for them",
}
"""What to turn where a limit binds."""

BUSY = 0.8
"""A model whose forwards run in a smaller part of the time has time left: nothing binds."""

ALL_CORES = 0.9
"""Beyond this part of their time the cores of a machine, or of a container, count as busy."""


@dataclass(frozen=True, slots=True)
class BindingLimit:
    """A limit that binds, and a sentence with the numbers. ``has_room``: the model would compute
    more at a time, if more were let in."""

    limit: Limit
    why: str
    has_room: bool = False


@dataclass(frozen=True, slots=True)
class FamilyLimits:
    """What binds one replica of a family, nothing where ``limits`` is empty, and the last decision
    on the number of replicas."""

    family: str
    limits: tuple[BindingLimit, ...] = ()
    scaling: ScalingDecision | None = None


def of_slots(
    running: int, waiting: int, slots: int, starved_by: Literal["slots", "kv_cache"] | None
) -> BindingLimit | None:
    """The limit of a text generator. ``starved_by`` is what the sequences lacked that its last step
    could not admit, or had to preempt."""
    if starved_by == "kv_cache":
        why = f"{running} of {slots} slots are in use and {waiting} sequences wait: the KV cache "
        return BindingLimit("kv_cache", f"{why}has no room for more tokens")
    if starved_by == "slots":
        why = f"{running} of {slots} slots are in use and {waiting} sequences wait"
        return BindingLimit("slots", why)
    if not running:
        return None
    why = f"{running} of {slots} slots are in use and no sequence waits: each takes its own time"
    return BindingLimit("forward_time", why, has_room=running < slots)


def of_batches(
    busy: float, waiting: int, ends: Iterable[BatchEnd | None], volume: Limit
) -> BindingLimit | None:
    """The limit of a model that answers in batches.

    ``busy`` is the part of the time in which its forwards ran, ``ends`` what kept the next item out
    of each of its batches, ``None`` of a batch that took all that waited. ``volume`` is the limit
    of tokens or of pixels.
    """
    if busy < BUSY:
        return None
    limits: dict[BatchEnd, Limit] = {
        "items": "batch_items",
        "volume": volume,
        "seconds": "batch_time",
    }
    counts = Counter(ends)
    state = f"forwards run in {busy:.0%} of the time, {waiting} items wait"
    of_limits = {end: counts[end] for end in limits if counts[end]}
    if 2 * sum(of_limits.values()) > counts.total():
        end = max(of_limits, key=lambda each: of_limits[each])
        why = f"{state}, and {of_limits[end]} of {counts.total()} batches were full by this limit"
        return BindingLimit(limits[end], why)
    return BindingLimit("forward_time", f"{state}, and batches take what there is")


def of_replica(
    models: Iterable[BindingLimit | None],
    *,
    refused_calls: int,
    cores_busy: float | None,
    scaling: ScalingDecision | None,
) -> tuple[BindingLimit, ...]:
    """What binds a replica whose models have these limits, the first to be turned first.

    ``refused_calls`` are those that came while the replica had its ``max_ongoing_requests``.
    ``cores_busy`` is the part of the time in which the cores that it may use were busy,
    ``None`` where its models compute on a GPU.
    """
    bounds = [each for each in models if each is not None]
    if refused_calls and all(each.has_room for each in bounds):
        room = "slots are free" if bounds else "forwards have time left"
        why = f"{refused_calls} calls were sent back, although {room}"
        bounds = [BindingLimit("queue", why)]
    found: dict[Limit, BindingLimit] = {}
    for each in bounds:
        bound = _on_cores(each, cores_busy)
        found.setdefault(bound.limit, bound)
    if found and scaling is not None and scaling.needed > scaling.max_replicas:
        why = f"{scaling.needed} replicas are needed, max_replicas is {scaling.max_replicas}"
        found["replicas"] = BindingLimit("replicas", f"{why} ({scaling.why})")
    return tuple(sorted(found.values(), key=lambda each: LIMITS.index(each.limit)))


def _on_cores(bound: BindingLimit, cores_busy: float | None) -> BindingLimit:
    if bound.limit != "forward_time" or cores_busy is None or cores_busy < ALL_CORES:
        return bound
    return BindingLimit("cpu", f"{bound.why}; the cores are busy in {cores_busy:.0%} of the time")
